//! `luasocketd top`: a running daemon, live on the full screen. It uses what `ps` and `stats` are told.

mod picture;
mod state;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use luasocketd::admin::{Request, Stats, line};
use luasocketd::core::ClientRow;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::operator::Operator;
use super::stats::Rates;
use super::table::wants_colours;
use super::{failed, misconfigured};
use crate::cli::TopOptions;
use state::{Key, Step, Top};

/// How often the keyboard is looked at while the daemon has said nothing new: nobody notices so short a wait.
const KEY_WAIT: Duration = Duration::from_millis(50);

/// How long a signal leaves the show to end by itself.
const END_WAIT: Duration = Duration::from_secs(1);

/// Shows it until somebody quits.
pub fn top(options: TopOptions) -> ExitCode {
    if options.json {
        return print_lines(&options).map_or_else(failed, |()| ExitCode::SUCCESS);
    }
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return misconfigured(
            "top needs a terminal; `luasocketd ps` and `luasocketd stats` print the same once",
        );
    }
    // Before the screen is touched, so that the reason can be read.
    let operator = match Operator::connect(&options.admin) {
        Ok(operator) => operator,
        Err(error) => return failed(error),
    };
    match on_screen(operator, options.interval) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error),
    }
}

/// Prints what the screen would show, until nobody reads it any more.
fn print_lines(options: &TopOptions) -> Result<(), String> {
    #[derive(Serialize)]
    struct Look {
        clients: Vec<ClientRow>,
        stats: Stats,
        rates: Rates,
    }
    let mut operator = Operator::connect(&options.admin)?;
    let mut before: Option<Stats> = None;
    loop {
        let (clients, stats) = look(&mut operator)?;
        let rates = before.as_ref().map(|before| Rates::between(before, &stats)).unwrap_or_default();
        before = Some(stats.clone());
        let mut out = io::stdout().lock();
        let written =
            out.write_all(line(&Look { clients, stats, rates }).as_bytes()).and_then(|()| out.flush());
        match written {
            Ok(()) => thread::sleep(options.interval),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(format!("cannot write: {error}")),
        }
    }
}

/// What the daemon was asked for, or why it has not said it.
type News = Result<(Vec<ClientRow>, Stats), String>;

fn look(operator: &mut Operator) -> News {
    Ok((operator.clients(None)?, operator.ask_for(&Request::Stats {})?))
}

fn on_screen(operator: Operator, interval: Duration) -> Result<(), String> {
    let words = |error: io::Error| format!("the terminal: {error}");
    let ended = Arc::new(AtomicBool::new(false));
    end_by_signal(Arc::clone(&ended)).map_err(words)?;
    let (stop, stopped) = mpsc::channel();
    // One answer may wait to be shown.
    let (news, answers) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("questions".to_owned())
        .spawn(move || ask(operator, interval, &news, &stopped))
        .map_err(words)?;
    // A panic puts the terminal back, too.
    let mut terminal = ratatui::try_init().map_err(words)?;
    let shown = show(&mut terminal, &answers, &ended);
    drop(stop);
    drop(terminal);
    let restored = ratatui::try_restore().map_err(words);
    shown.and(restored)
}

/// Has a signal end the show, and the process where that does not help: a wait for keys does not come back from a
/// terminal that has gone.
fn end_by_signal(ended: Arc<AtomicBool>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGHUP, SIGINT])?;
    let watch = move || {
        let Some(signal) = signals.forever().next() else { return };
        ended.store(true, Ordering::Relaxed);
        thread::sleep(END_WAIT);
        // Nobody is left to be told if it cannot be done, or if the process cannot be ended as it is by default.
        let _ = ratatui::try_restore();
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    };
    thread::Builder::new().name("signals".to_owned()).spawn(watch).map(drop)
}

/// Asks again and again, until nobody wants to know any more.
fn ask(mut operator: Operator, interval: Duration, news: &SyncSender<News>, stopped: &Receiver<()>) {
    loop {
        let answer = look(&mut operator);
        let is_last = answer.is_err();
        if news.send(answer).is_err() || is_last {
            return;
        }
        if stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

fn show(terminal: &mut DefaultTerminal, answers: &Receiver<News>, ended: &AtomicBool) -> Result<(), String> {
    let words = |error: io::Error| format!("the terminal: {error}");
    let mut top = Top::new(wants_colours());
    let mut changed = true;
    while !ended.load(Ordering::Relaxed) {
        if let Ok(news) = answers.try_recv() {
            let (clients, stats) = news?;
            top.on_answer(clients, stats);
            changed = true;
        }
        if std::mem::take(&mut changed) {
            terminal.draw(|frame| picture::draw(&top, frame)).map_err(words)?;
        }
        if !event::poll(KEY_WAIT).map_err(words)? {
            continue;
        }
        changed = true;
        if let Event::Key(key) = event::read().map_err(words)?
            && let Some(key) = meaning(key)
            && top.on_key(key) == Step::Quit
        {
            return Ok(());
        }
    }
    Ok(())
}

/// What a key means here, if it means anything.
fn meaning(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    Some(match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
        KeyCode::Up | KeyCode::Char('k') => Key::Move(-1),
        KeyCode::Down | KeyCode::Char('j') => Key::Move(1),
        KeyCode::PageUp => Key::Move(-10),
        KeyCode::PageDown => Key::Move(10),
        KeyCode::Home | KeyCode::Char('g') => Key::Move(isize::MIN),
        KeyCode::End | KeyCode::Char('G') => Key::Move(isize::MAX),
        KeyCode::Char('r') => Key::Reverse,
        KeyCode::Char(letter) => Key::Sort(letter),
        _ => return None,
    })
}
