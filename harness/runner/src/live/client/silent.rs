//! Events that a library never reports: set-up lines that expect them are left out.

use mqttspec_notation::{Report, Scenario, Step, StepKind};

use super::protocol::PUBLISHED;

/// Leaves out the lines `told …` with these events. Returns the event of a line that cannot be left
/// out, because it shows a clause or selects a branch.
pub(super) fn leave_out(scenario: &mut Scenario, silent: &[String]) -> Result<(), &'static str> {
    leave_out_of(&mut scenario.steps, silent)
}

fn leave_out_of(steps: &mut Vec<Step>, silent: &[String]) -> Result<(), &'static str> {
    let is_silent = |step: &Step| event(step).filter(|event| silent.iter().any(|word| word == event));
    if let Some(event) = steps.iter().filter(|step| step.shows.is_some()).find_map(is_silent) {
        return Err(event);
    }
    steps.retain(|step| is_silent(step).is_none());
    for step in steps {
        match &mut step.kind {
            StepKind::InAnyOrder(steps) | StepKind::EachRow(steps) | StepKind::Repeat { steps, .. } => {
                leave_out_of(steps, silent)?;
            }
            StepKind::Either(branches) => {
                for branch in branches {
                    // The first line selects the branch.
                    if let Some(event) = branch.steps.first().and_then(is_silent) {
                        return Err(event);
                    }
                    leave_out_of(&mut branch.steps, silent)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn event(step: &Step) -> Option<&'static str> {
    let StepKind::Told { report, .. } = &step.kind else { return None };
    match report {
        Report::Published { .. } => Some(PUBLISHED),
        Report::Subscribed(_) => Some("subscribed"),
        Report::Unsubscribed(_) => Some("unsubscribed"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use mqttspec_notation::{CatalogueClauses, read};

    use super::*;

    fn left(line: &str) -> Result<usize, &'static str> {
        let text = format!(
            "title    Told\nclauses  [5] MQTT-3.1.0-1\nversions 5\ntests    client\n\n\
             ask device connect\ndevice > CONNECT\nask device publish a \"x\"\n{line}\n"
        );
        let Ok((mut scenario, _)) = read("t.mqtt", &text, &CatalogueClauses) else { panic!("{text}") };
        leave_out(&mut scenario, &["published".to_owned()]).map(|()| scenario.steps.len())
    }

    #[test]
    fn only_set_up_lines_with_these_events_are_left_out() {
        assert_eq!(left("told device published a"), Ok(3));
        assert_eq!(left("told device subscribed a"), Ok(4));
        assert_eq!(left("told device published a shows all"), Err("published"));
        assert_eq!(left("either\n  told device published a\nor\n  device > nothing"), Err("published"));
    }
}
