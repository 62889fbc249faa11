//! `segue plugins trial`: what `segue plugins verify` starts to run the checks in. Nobody types it.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use clap::Args;
use segue_testkit::{Event, ModelUnderTest, Options, check_with};

use super::{
    super::{CliResult, Failure},
    Job, OPENS, Told,
    record::Outcome,
};
use crate::plugin_host::Candidate;

/// Steps are told no more often than this.
const PAUSE: Duration = Duration::from_millis(100);

/// Arguments of `segue plugins trial`.
#[derive(Debug, Args)]
pub(in crate::cli) struct TrialCommand {
    /// Name of the plugin, for those who list processes
    plugin: String,
}

impl TrialCommand {
    pub(in crate::cli) fn run(&self) -> CliResult {
        let failed = |error| Failure::does_not_hold(format!("trial of {}: {error}", self.plugin));
        let (candidate, job) = Candidate::receive::<Job>().map_err(failed)?;
        // Whoever started this process ends it when it goes: nobody is left to be told of an error.
        let say = |told: &Told| drop(candidate.say(told));
        say(&Told::Begins(OPENS.to_owned()));
        let plugin = match candidate.open() {
            Ok(plugin) => plugin,
            Err(error) => {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                say(&Told::Ended(Outcome::broken(OPENS, format!("{error}{cause}"))));
                say(&Told::Done);
                return Ok(());
            }
        };
        say(&Told::Ended(Outcome::kept(OPENS)));
        let last_step = Cell::new(Instant::now());
        check_with(plugin, &job.model(), &job.options(), &|event| {
            let told = match event {
                Event::Begins(promise) => Told::Begins(promise.to_owned()),
                Event::Progress { .. } if last_step.get().elapsed() < PAUSE => return,
                Event::Progress { done, of } => Told::Progress { done, of },
                Event::Ended(outcome) => Told::Ended(match &outcome.failure {
                    None => Outcome::kept(outcome.promise),
                    Some(reason) => Outcome::broken(outcome.promise, reason),
                }),
            };
            last_step.set(Instant::now());
            say(&told);
        });
        say(&Told::Done);
        Ok(())
    }
}

impl Job {
    fn model(&self) -> ModelUnderTest {
        let model = self.model.clone();
        ModelUnderTest {
            name: model.name,
            weights: model.weights.map(|weights| weights.path),
            classes: model.classes,
            settings_json: model.settings_json,
            max_threads: model.max_threads,
        }
    }

    fn options(&self) -> Options {
        let options = if self.quick { Options::quick() } else { Options::thorough() };
        let growth_frames = self.frames.unwrap_or(options.growth_frames);
        // Nothing else runs in this process.
        Options { growth_frames, growth_slack_bytes: Options::thorough().growth_slack_bytes, ..options }
    }
}
