//! The bands of a diagram: the faults that last, and the lanes that they cover.

use mqttspec_judge::trace::{TraceFault, TraceFaultKind};

use super::Band;

/// The faults of a run so far.
#[derive(Debug, Default)]
pub(super) struct Bands {
    /// The number of each active fault, and its band.
    open: Vec<(u64, Band)>,
    done: Vec<Band>,
}

impl Bands {
    /// Ends and begins the bands that an event ends and begins.
    pub(super) fn change(&mut self, fault: &TraceFault, (left, right): (u32, u32), y: u32) {
        let over = self.open.extract_if(.., |(number, _)| fault.ends.contains(number));
        self.done.extend(over.map(|(_, band)| Band { bottom: y, ..band }));
        if let Some(number) = fault.begins {
            let severe = matches!(
                fault.kind,
                TraceFaultKind::Partition | TraceFaultKind::Crash | TraceFaultKind::Profile
            );
            self.open.push((number, Band { left, right, top: y, bottom: y, severe }));
        }
    }

    /// All bands. A fault that did not end lasts to the bottom.
    pub(super) fn finish(mut self, bottom: u32) -> Vec<Band> {
        self.done.extend(self.open.into_iter().map(|(_, band)| Band { bottom, ..band }));
        self.done.sort_by_key(|band| (band.top, band.left));
        self.done
    }
}
