//! The bar chart: how fast each row is, LuaSocket in-process being 1. Text of its own in SVG, for light and dark pages.

use std::fmt::Write as _;

use crate::contender::Contender;
use crate::results::{Line, Results, Run};

const WIDTH: f64 = 880.0;
/// Where the bars begin, and where the scale ends.
const LEFT: f64 = 292.0;
const RIGHT: f64 = 822.0;
const BAR: f64 = 9.0;
const GAP: f64 = 2.0;
/// Between two rows.
const PAUSE: f64 = 13.0;
/// Above the rows of each interpreter: its name, and the numbers of the scale.
const HEAD: f64 = 46.0;
/// At the top: the heading and the legend.
const TOP: f64 = 58.0;
/// What is faster than this is drawn as long; its number stands beside it.
const SCALE_MAX: f64 = 5.0;

const STYLE: &str = "
    text { font: 12px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #24292f }
    .title { font-size: 15px; font-weight: 600 }
    .lua { font-size: 13px; font-weight: 600 }
    .small { font-size: 9.5px; fill: #57606a }
    .ours { font-size: 10.5px; font-weight: 600 }
    .grid { stroke: #d0d7de; stroke-width: 1 }
    .one { stroke: #24292f; stroke-width: 1.5 }
    .mark { fill: #24292f; stroke: #ffffff; stroke-width: 1 }
    .luasocketd { fill: #1f6feb } .luasocketd-audit { fill: #79b1ff }
    .dante { fill: #8c959f } .microsocks { fill: #a8a29e } .haproxy { fill: #c9a26d } .socat { fill: #b5bfc9 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .small { fill: #9198a1 }
      .grid { stroke: #3d444d }
      .one { stroke: #e6edf3 }
      .mark { fill: #e6edf3; stroke: #0d1117 }
      .luasocketd { fill: #4493f8 } .luasocketd-audit { fill: #1f4f96 }
      .dante { fill: #6e7681 } .microsocks { fill: #7d766f } .haproxy { fill: #8d6f45 } .socat { fill: #545d68 }
    }
";

/// The chart of all runs, one above the other.
pub fn svg(results: &Results) -> String {
    let drawn: Vec<Contender> =
        results.contenders.iter().copied().filter(|who| *who != Contender::Luasocket).collect();
    let scale = Scale::of(results, &drawn);
    let mut body = String::new();
    legend(&drawn, &mut body);
    let mut y = TOP;
    for run in &results.runs {
        y = panel(run, &drawn, scale, y, &mut body);
    }
    let height = y + 8.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\">\n<title>Speed relative to LuaSocket in-process</title>\n<style>{STYLE}</style>\n{body}</svg>\n"
    )
}

/// From speeds to places.
#[derive(Clone, Copy)]
struct Scale {
    max: f64,
}

impl Scale {
    fn of(results: &Results, drawn: &[Contender]) -> Scale {
        let lines = results.runs.iter().flat_map(|run| &run.lines);
        let largest = lines.flat_map(|line| {
            let speeds = drawn.iter().filter_map(|contender| line.speed(*contender));
            speeds.chain([line.row.target]).collect::<Vec<_>>()
        });
        Scale { max: largest.fold(1.0, f64::max).ceil().min(SCALE_MAX) }
    }

    fn x(self, speed: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (speed / self.max).clamp(0.0, 1.0)
    }
}

/// Writing to a text does not fail.
macro_rules! draw {
    ($out:expr, $($words:tt)*) => {{ let _ = writeln!($out, $($words)*); }};
}

fn legend(drawn: &[Contender], out: &mut String) {
    draw!(
        out,
        r#"<text class="title" x="12" y="22">Speed relative to LuaSocket in-process (longer is faster)</text>"#
    );
    let mut x = 12.0;
    for contender in drawn {
        let name = contender.name();
        draw!(out, r#"<rect class="{name}" x="{x}" y="34" width="12" height="12" rx="2"/>"#);
        draw!(out, r#"<text x="{:.0}" y="44">{name}</text>"#, x + 17.0);
        x += 40.0 + 7.0 * name.len() as f64;
    }
    draw!(out, r#"<path class="one" d="M{x:.0} 33v14"/><text x="{:.0}" y="44">LuaSocket</text>"#, x + 7.0);
    x += 84.0;
    draw!(out, "{}<text x=\"{:.0}\" y=\"44\">target</text>", mark(x, 40.0), x + 9.0);
}

fn panel(run: &Run, drawn: &[Contender], scale: Scale, top: f64, out: &mut String) -> f64 {
    let group = drawn.len() as f64 * (BAR + GAP) + PAUSE;
    let first = top + HEAD;
    let bottom = first + group * run.lines.len() as f64 - PAUSE / 2.0;
    draw!(out, r#"<text class="lua" x="12" y="{:.1}">{}</text>"#, top + 24.0, run.lua.title());
    for tick in 0..=(scale.max * 2.0) as u32 {
        let speed = f64::from(tick) / 2.0;
        let (x, from) = (scale.x(speed), first - 8.0);
        draw!(out, r#"<path class="grid" d="M{x:.1} {from:.1}V{bottom:.1}"/>"#);
        draw!(
            out,
            r#"<text class="small" x="{x:.1}" y="{:.1}" text-anchor="middle">{speed}</text>"#,
            from - 4.0
        );
    }
    for (position, line) in run.lines.iter().enumerate() {
        bars(line, drawn, scale, first + group * position as f64, out);
    }
    let x = scale.x(1.0);
    draw!(out, r#"<path class="one" d="M{x:.1} {:.1}V{bottom:.1}"/>"#, first - 8.0);
    bottom
}

fn bars(line: &Line, drawn: &[Contender], scale: Scale, top: f64, out: &mut String) {
    let middle = top + drawn.len() as f64 * (BAR + GAP) / 2.0 + 3.0;
    let x = LEFT - 12.0;
    draw!(out, r#"<text x="{x}" y="{middle:.1}" text-anchor="end">{}</text>"#, escaped(line.row.title));
    for (position, contender) in drawn.iter().enumerate() {
        let y = top + position as f64 * (BAR + GAP);
        let base = y + BAR - 1.0;
        let Some(speed) = line.speed(*contender) else {
            draw!(out, r#"<text class="small" x="{:.1}" y="{base:.1}">–</text>"#, LEFT + 4.0);
            continue;
        };
        let end = scale.x(speed);
        let (name, width) = (contender.name(), (end - LEFT).max(1.0));
        draw!(
            out,
            r#"<rect class="{name}" x="{LEFT}" y="{y:.1}" width="{width:.1}" height="{BAR}" rx="1.5"/>"#
        );
        let is_ours = contender.is_ours();
        if is_ours {
            draw!(out, "{}", mark(scale.x(line.row.target), y + BAR / 2.0));
        }
        let class = if is_ours { "ours" } else { "small" };
        // Beside the mark of the target, not under it.
        let near = is_ours && (0.0..30.0).contains(&(scale.x(line.row.target) - end + 6.0));
        let x = if near { scale.x(line.row.target) + 9.0 } else { end + 5.0 };
        // An arrow where the bar would be longer.
        let more = if speed > scale.max { " →" } else { "" };
        draw!(out, r#"<text class="{class}" x="{x:.1}" y="{base:.1}">{speed:.2}{more}</text>"#);
    }
}

/// A small diamond.
fn mark(x: f64, y: f64) -> String {
    format!(r#"<path class="mark" d="M{x:.1} {:.1}l4.5 5.5-4.5 5.5-4.5-5.5z"/>"#, y - 5.5)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
