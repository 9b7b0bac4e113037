//! Courses: faults with the times at which they begin and end.

use crate::fault::Fault;
use std::time::Duration;

/// A fault and when it is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The fault.
    pub fault: Fault,
    /// How long after the start of the course it begins.
    pub begins: Duration,
    /// How long after its begin it ends. With `None` the course does not end it. A fault of one
    /// instant has no end.
    pub lasts: Option<Duration>,
}

/// A list of faults with their times. The steps do not wait for each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// The steps. Those that begin at the same time begin in this order.
    pub steps: Vec<Step>,
}

impl Course {
    /// One fault that begins at once; see [`Step::lasts`].
    pub fn of(fault: Fault, lasts: Option<Duration>) -> Course {
        Course { steps: vec![Step { fault, begins: Duration::ZERO, lasts }] }
    }

    /// The same faults, with every time divided by this number (0 counts as 1). Real time is
    /// expensive, so live runs shorten their courses.
    #[must_use]
    pub fn shortened(mut self, divisor: u32) -> Course {
        let divisor = divisor.max(1);
        for step in &mut self.steps {
            step.begins /= divisor;
            step.lasts = step.lasts.map(|lasts| lasts / divisor);
            if let Fault::DiskLoss { within, .. } = &mut step.fault {
                *within /= divisor;
            }
        }
        self
    }
}

impl FromIterator<Step> for Course {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Course {
        Course { steps: steps.into_iter().collect() }
    }
}
