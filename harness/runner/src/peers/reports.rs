//! The reports of a client to its application, and which `told` line may take which report.
//!
//! A line takes only the report that ends its own command. A report that ends no command, such as
//! the loss of a connection, is taken only by a line that cannot be about the end of a command.

use std::collections::VecDeque;

use mqttspec_judge::history::Told;
use mqttspec_notation::Report;

/// The number of a command among those that lines of the scenario gave to a client, from 0.
pub(crate) type CommandNumber = usize;

/// The kinds of commands that the rules for reports distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandKind {
    Connect,
    Disconnect,
    Other,
}

/// A report of a client.
#[derive(Clone, Debug)]
pub(crate) struct ClientReport {
    /// Its event in the history.
    pub(crate) event: usize,
    /// The command of the scenario that it ends, if any.
    pub(crate) command: Option<CommandNumber>,
    pub(crate) told: Told,
    /// The Reason Code with which the server acknowledged a message.
    pub(crate) reason: Option<u8>,
}

/// A command of the scenario.
#[derive(Debug)]
struct Command {
    kind: CommandKind,
    /// The length of the history when it was given.
    given_at: usize,
    succeeded: bool,
    /// Whether a line has taken the report of its end.
    taken: bool,
}

/// The commands of one client, and its reports that no line has taken.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    commands: Vec<Command>,
    /// Oldest first.
    waiting: VecDeque<ClientReport>,
}

impl Reports {
    /// Adds a command of a line.
    pub(crate) fn begin(&mut self, kind: CommandKind, given_at: usize) -> CommandNumber {
        self.commands.push(Command { kind, given_at, succeeded: false, taken: false });
        self.commands.len() - 1
    }

    /// Adds a report of the client.
    pub(crate) fn add(&mut self, report: ClientReport) {
        if let Some(number) = report.command {
            self.commands[number].succeeded = failure(&report.told).is_none();
        }
        self.waiting.push_back(report);
    }

    /// The reports that no line has taken, oldest first.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &ClientReport> {
        self.waiting.iter()
    }

    /// The reports that a line may take, oldest first, with their positions.
    pub(crate) fn for_line(&self, line: &Report) -> Vec<(usize, ClientReport)> {
        let belongs = self.belongs(line);
        let fits =
            |(_, report): &(usize, &ClientReport)| is_of_kind(&report.told, line) && belongs.fits(report);
        self.waiting.iter().enumerate().filter(fits).map(|(place, report)| (place, report.clone())).collect()
    }

    /// Takes the report at a position.
    pub(crate) fn take(&mut self, place: usize) -> Option<ClientReport> {
        let report = self.waiting.remove(place)?;
        if let Some(number) = report.command {
            self.commands[number].taken = true;
        }
        Some(report)
    }

    /// The rule for reports that a line may take.
    fn belongs(&self, line: &Report) -> Belongs {
        match line {
            Report::Received { .. } => Belongs::ToNoCommandSince(0),
            Report::Answered { .. }
            | Report::Delivered { .. }
            | Report::Reauthenticated
            | Report::Subscribed(_)
            | Report::Unsubscribed(_)
            | Report::Published { .. }
            | Report::Acknowledged { .. } => Belongs::ToAnyCommand,
            Report::Connected(_) => self.of_connection(CommandKind::Connect),
            Report::Disconnected(_) => self.of_connection(CommandKind::Disconnect),
            Report::Failed(_) => {
                let open = |command: &Command| !command.taken && !command.succeeded;
                match self.commands.iter().rposition(open) {
                    Some(number) => Belongs::To(number),
                    None => Belongs::ToNoCommandSince(self.commands.last().map_or(0, |last| last.given_at)),
                }
            }
        }
    }

    /// The report must end the last command to connect or disconnect, if that command is of this
    /// kind and no line has taken its end. Otherwise the client must have reported it by itself
    /// since then.
    fn of_connection(&self, kind: CommandKind) -> Belongs {
        let last = self.commands.iter().rposition(|command| command.kind != CommandKind::Other);
        let Some(number) = last else { return Belongs::ToNoCommandSince(0) };
        let command = &self.commands[number];
        if command.kind == kind && !command.taken {
            Belongs::To(number)
        } else {
            Belongs::ToNoCommandSince(command.given_at)
        }
    }
}

/// Which command a report must belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Belongs {
    To(CommandNumber),
    ToAnyCommand,
    /// To none: the client reported it by itself, not before this position in the history.
    ToNoCommandSince(usize),
}

impl Belongs {
    fn fits(self, report: &ClientReport) -> bool {
        match self {
            Belongs::To(number) => report.command == Some(number),
            Belongs::ToAnyCommand => report.command.is_some(),
            Belongs::ToNoCommandSince(event) => report.command.is_none() && report.event >= event,
        }
    }
}

/// Whether a line is about this kind of report.
fn is_of_kind(told: &Told, line: &Report) -> bool {
    match line {
        Report::Connected(_) => matches!(told, Told::Connected { .. }),
        Report::Disconnected(_) => matches!(told, Told::Disconnected { .. }),
        Report::Subscribed(_) => matches!(told, Told::Subscribed { .. }),
        Report::Unsubscribed(_) => matches!(told, Told::Unsubscribed { .. }),
        Report::Published { .. } => matches!(told, Told::Published { refused: None, .. }),
        Report::Received { .. } => matches!(told, Told::Message { .. }),
        Report::Answered { .. } => matches!(told, Told::Answered { .. }),
        Report::Delivered { .. } => matches!(told, Told::Delivered { .. }),
        Report::Reauthenticated => matches!(told, Told::Reauthenticated),
        Report::Acknowledged { .. } => matches!(told, Told::Acknowledged { .. }),
        Report::Failed(_) => failure(told).is_some(),
    }
}

/// The error of a failed command.
fn failure(told: &Told) -> Option<&mqttspec_judge::history::ReportedError> {
    match told {
        Told::Failed { error } | Told::Published { refused: Some(error), .. } => Some(error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqttspec_judge::history::ReportedError;

    fn failed() -> Told {
        Told::Failed { error: ReportedError { kind: "network", reason: None, text: String::new() } }
    }

    fn events(reports: &Reports, line: &Report) -> Vec<usize> {
        reports.for_line(line).iter().map(|(_, report)| report.event).collect()
    }

    fn add(reports: &mut Reports, event: usize, command: Option<CommandNumber>, told: Told) {
        reports.add(ClientReport { event, command, told, reason: None });
    }

    const FAILED: Report = Report::Failed(Vec::new());
    const CONNECTED: Report = Report::Connected(Vec::new());
    const DISCONNECTED: Report = Report::Disconnected(Vec::new());

    #[test]
    fn a_failure_belongs_to_the_command_that_was_given_last() {
        let mut reports = Reports::default();
        let first = reports.begin(CommandKind::Other, 1);
        let second = reports.begin(CommandKind::Other, 2);
        add(&mut reports, 3, Some(first), failed());
        assert_eq!(events(&reports, &FAILED), [] as [usize; 0]);
        add(&mut reports, 4, Some(second), failed());
        assert_eq!(events(&reports, &FAILED), [4]);
        reports.take(1);
        assert_eq!(events(&reports, &FAILED), [3]);
    }

    #[test]
    fn a_line_takes_an_unprompted_failure_only_if_no_command_is_open() {
        let mut reports = Reports::default();
        let connect = reports.begin(CommandKind::Connect, 1);
        add(&mut reports, 2, None, failed());
        assert_eq!(events(&reports, &FAILED), [] as [usize; 0]);
        add(&mut reports, 3, Some(connect), Told::Connected { session_present: false });
        assert_eq!(events(&reports, &FAILED), [2]);
    }

    #[test]
    fn a_commanded_connection_is_distinguished_from_a_reconnect() {
        let mut reports = Reports::default();
        let connect = reports.begin(CommandKind::Connect, 1);
        add(&mut reports, 2, Some(connect), Told::Connected { session_present: false });
        add(&mut reports, 3, None, Told::Disconnected { error: None });
        add(&mut reports, 4, None, Told::Connected { session_present: true });
        assert_eq!(events(&reports, &CONNECTED), [2]);
        assert_eq!(events(&reports, &DISCONNECTED), [3]);
        reports.take(0);
        assert_eq!(events(&reports, &CONNECTED), [4]);
        reports.begin(CommandKind::Disconnect, 5);
        assert_eq!(events(&reports, &DISCONNECTED), [] as [usize; 0]);
    }
}
