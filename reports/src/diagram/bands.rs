//! Which faults last, and from where to where.

use mqttspec_judge::trace::TraceKind;

use super::Band;

/// The faults of a run so far.
#[derive(Debug, Default)]
pub(super) struct Bands {
    /// The fault's text, the hosts that it is on, and its band.
    open: Vec<(String, String, Band)>,
    done: Vec<Band>,
}

impl Bands {
    /// Begins or ends what an event says.
    pub(super) fn change(&mut self, kind: TraceKind, text: &str, (left, right): (u32, u32), y: u32) {
        let (verb, hosts) = text.split_once(' ').unwrap_or((text, ""));
        match kind {
            TraceKind::FaultBegun | TraceKind::Crashed => {
                let severe = matches!(verb, "partition" | "crash" | "profile" | "cut");
                // A cut and a close are over at once; a cut that lasts says `for`.
                if matches!(verb, "cut" | "close") && !hosts.contains(" for ") {
                    return;
                }
                // A link has one latency, one loss: a new one takes the place of the old.
                self.end(y, |old, of| old.split(' ').next() == Some(verb) && of == hosts);
                let band = Band { left, right, top: y, bottom: y, severe };
                self.open.push((text.to_owned(), hosts.to_owned(), band));
            }
            TraceKind::FaultEnded => match text.strip_suffix(": over") {
                Some(over) => self.end(y, |old, _| old == over),
                None if hosts == "all" => self.end(y, |old, _| !old.starts_with("crash")),
                None => self.end(y, |old, of| !old.starts_with("crash") && first(of) == first(hosts)),
            },
            TraceKind::Started => {
                self.end(y, |old, of| old.starts_with("crash") && first(of) == first(hosts));
            }
            _ => {}
        }
    }

    fn end(&mut self, y: u32, fits: impl Fn(&str, &str) -> bool) {
        let (over, open) = self.open.drain(..).partition(|(text, hosts, _)| fits(text, hosts));
        self.open = open;
        let over: Vec<(String, String, Band)> = over;
        self.done.extend(over.into_iter().map(|(_, _, band)| Band { bottom: y, ..band }));
    }

    /// All bands; what nobody ended lasts to the bottom.
    pub(super) fn finish(mut self, bottom: u32) -> Vec<Band> {
        self.end(bottom, |_, _| true);
        self.done.sort_by_key(|band| (band.top, band.left));
        self.done
    }
}

/// The first host.
fn first(hosts: &str) -> &str {
    hosts.split(' ').next().unwrap_or_default()
}
