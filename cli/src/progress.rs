//! The progress bar of a run.

use indicatif::ProgressStyle;

pub(crate) fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:30} {pos}/{len}  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
