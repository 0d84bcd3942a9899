//! `top`'s picture. It works from 80 columns and 24 lines on, and says less where there is less room.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line as Text;
use ratatui::widgets::{Block, Paragraph, Row, Sparkline, Table, TableState};

use super::super::table::{age, bytes, or_dash, printable};
use super::state::{History, Line, Sort, Top};

/// Lines of the graphs, their frame included.
const GRAPH_HEIGHT: u16 = 6;

/// Draws everything.
pub fn draw(top: &Top, frame: &mut Frame<'_>) {
    let lines = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(GRAPH_HEIGHT),
        Constraint::Min(0),
        Constraint::Length(1),
    ]);
    let [head, graphs, table, foot] = lines.areas(frame.area());
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(graphs);
    frame.render_widget(Paragraph::new(title(top)).style(strong()), head);
    graph(frame, left, &total_title(top), Some(&top.total), top.colours.then_some(Color::Green));
    let (name, history) = match top.focus() {
        Some((line, history)) => (client_title(line), Some(history)),
        None => ("no client".to_owned(), None),
    };
    graph(frame, right, &name, history, top.colours.then_some(Color::Cyan));
    clients(top, frame, table);
    frame.render_widget(Paragraph::new(keys(top)), foot);
}

fn strong() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn title(top: &Top) -> String {
    let Some(stats) = &top.stats else { return "luasocketd: asking".to_owned() };
    let totals = &stats.totals;
    let ending = if totals.draining { "  ENDING" } else { "" };
    printable(&format!(
        "{}  pid {}  up {}  clients {}  sockets {}  lookups {}{ending}",
        stats.daemon,
        stats.pid,
        age(stats.uptime_ms),
        totals.clients,
        totals.sockets,
        totals.lookups
    ))
}

fn total_title(top: &Top) -> String {
    format!("all: {}", rates(top.rates.sent_bytes as u64, top.rates.received_bytes as u64))
}

fn client_title(line: &Line) -> String {
    printable(&format!("{}: {}", line.client.id, rates(line.sent, line.received)))
}

fn rates(sent: u64, received: u64) -> String {
    format!("{}/s sent, {}/s received", bytes(sent), bytes(received))
}

/// The last samples that there is room for.
fn graph(frame: &mut Frame<'_>, area: Rect, title: &str, history: Option<&History>, colour: Option<Color>) {
    let room = usize::from(area.width.saturating_sub(2));
    let samples = history.map(|history| &history.samples);
    let skipped = samples.map_or(0, |samples| samples.len().saturating_sub(room));
    let data: Vec<u64> = samples.into_iter().flatten().skip(skipped).copied().collect();
    let style = colour.map_or(Style::new(), |colour| Style::new().fg(colour));
    let block = Block::bordered().title(Text::from(title.to_owned()));
    frame.render_widget(Sparkline::default().block(block).data(data).style(style), area);
}

/// A column of the table.
struct Column {
    head: &'static str,
    width: Constraint,
    /// Numbers stand on the right.
    right: bool,
}

const fn column(head: &'static str, width: Constraint, right: bool) -> Column {
    Column { head, width, right }
}

/// The table's columns: the names get what the others leave.
const COLUMNS: [Column; 10] = [
    column("CLIENT", Constraint::Length(7), false),
    column("PID", Constraint::Length(7), true),
    column("NAME", Constraint::Fill(2), false),
    column("PROFILE", Constraint::Fill(1), false),
    column("SOCKETS", Constraint::Length(7), true),
    column("CALLS", Constraint::Length(5), true),
    column("SENT/S", Constraint::Length(6), true),
    column("RECV/S", Constraint::Length(6), true),
    column("BYTES", Constraint::Length(6), true),
    column("AGE", Constraint::Length(6), true),
];

fn clients(top: &Top, frame: &mut Frame<'_>, area: Rect) {
    // Only those that can be seen are spelt out, however many there are.
    let room = usize::from(area.height.saturating_sub(1));
    if room == 0 {
        return;
    }
    let selected = top.selected().unwrap_or(0);
    let first = (selected + 1).saturating_sub(room);
    let rows = top.lines.iter().skip(first).take(room).map(|line| cells(row(line)));
    let head = cells(COLUMNS.each_ref().map(|column| column.head.to_owned()));
    let table = Table::new(rows, COLUMNS.each_ref().map(|column| column.width))
        .header(head.style(strong()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::default();
    state.select(top.selected().map(|selected| selected - first));
    frame.render_stateful_widget(table, area, &mut state);
}

fn cells(texts: [String; COLUMNS.len()]) -> Row<'static> {
    let cells = texts.into_iter().zip(&COLUMNS).map(|(text, column)| {
        let text = Text::from(printable(&text));
        if column.right { text.right_aligned() } else { text }
    });
    Row::new(cells)
}

fn row(line: &Line) -> [String; COLUMNS.len()] {
    let client = &line.client;
    // Of a path the end says more.
    let name = client.name.as_deref().map(|name| name.rsplit('/').next().unwrap_or(name));
    [
        client.id.to_string(),
        client.pid.map_or("-".to_owned(), |pid| pid.to_string()),
        or_dash(name),
        or_dash(client.profile.as_deref()),
        client.sockets.to_string(),
        client.calls.to_string(),
        bytes(line.sent),
        bytes(line.received),
        bytes(client.sent.saturating_add(client.received)),
        age(client.age_ms),
    ]
}

/// What the keys do; each way to sort has its first letter.
fn keys(top: &Top) -> String {
    let word = |sort: &Sort| match (*sort == top.sort, top.reversed) {
        (true, false) => format!("[{}]", sort.name()),
        (true, true) => format!("[-{}]", sort.name()),
        (false, _) => sort.name().to_owned(),
    };
    let sorts: Vec<String> = Sort::ALL.iter().map(word).collect();
    format!("q quit | r reverse | sort: {}", sorts.join(" "))
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::super::ps::tests::client;
    use super::super::state::Key;
    use super::super::state::tests::{looked_twice, stats};
    use super::*;

    fn picture(top: &Top, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(top, frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| line(y).trim_end().to_owned()).collect()
    }

    #[test]
    fn a_small_screen_shows_all_that_matters() {
        let lines = picture(&looked_twice(), 80, 24);
        assert_eq!(lines[0], "luasocketd 0.1.0  pid 7  up 2s  clients 3  sockets 6  lookups 0");
        assert!(lines[1].contains("all: 5.0K/s sent, 10.0K/s received"), "{}", lines[1]);
        assert!(lines[1].contains("c1.1: 4.9K/s sent, 9.8K/s received"), "{}", lines[1]);
        assert!(lines[2..6].iter().any(|line| line.contains('█')), "a bar: {lines:#?}");
        for word in
            ["CLIENT", "PID", "NAME", "PROFILE", "SOCKETS", "CALLS", "SENT/S", "RECV/S", "BYTES", "AGE"]
        {
            assert!(lines[7].contains(word), "{word}: {}", lines[7]);
        }
        assert!(
            lines[8].starts_with("c1.1") && lines[8].contains("4.9K") && lines[8].contains("web"),
            "{lines:#?}"
        );
        assert!(lines[9].starts_with("c0.1") && lines[10].starts_with("c2.1"), "{lines:#?}");
        let keys = "q quit | r reverse | sort: [traffic] bytes sockets calls age pid name";
        assert_eq!(lines[23], keys);
    }

    #[test]
    fn no_name_moves_the_cursor() {
        // The clients of these tests call themselves something with an escape sequence.
        let lines = picture(&looked_twice(), 80, 24);
        assert!(lines[8].contains("a?[2Jb"), "{}", lines[8]);
        assert!(lines.iter().all(|line| !line.contains('\x1b')));
    }

    #[test]
    fn the_selected_row_is_always_seen() {
        let mut top = Top::new(true);
        top.on_answer((0..100).map(|slot| client(slot, 0)).collect(), stats(1000, 0));
        top.on_key(Key::Move(isize::MAX));
        let lines = picture(&top, 80, 24);
        assert!(lines[22].starts_with("c99.1"), "{lines:#?}");
    }

    #[test]
    fn any_size_and_any_state_can_be_drawn() {
        let empty = Top::new(false);
        for (width, height) in [(1, 1), (20, 5), (80, 24), (300, 100)] {
            picture(&empty, width, height);
            picture(&looked_twice(), width, height);
        }
        assert_eq!(picture(&empty, 80, 24)[0], "luasocketd: asking");
    }

    #[test]
    fn without_colours_there_are_none() {
        for colours in [true, false] {
            let mut top = looked_twice();
            top.colours = colours;
            let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
            terminal.draw(|frame| draw(&top, frame)).unwrap();
            let cells = terminal.backend().buffer().content();
            let coloured = cells.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
            assert_eq!(coloured, colours);
        }
    }

    #[test]
    fn each_way_to_sort_has_its_first_letter() {
        for sort in Sort::ALL {
            assert!(sort.name().starts_with(sort.letter()));
        }
    }
}
