//! The keeper with real processes. One executable in three roles, told apart by argv[0]: the runner
//! (what `cargo test` starts), the keeper, and a scripted daemon. Each scenario is a pair of functions:
//! what the runner sees, and what the daemon does. The keeper's role fails every scenario in which the
//! keeper allocates.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "keeper/alloc.rs"]
mod alloc;
#[path = "keeper/daemon.rs"]
mod daemon;
#[path = "keeper/holding.rs"]
mod holding;
#[path = "keeper/runner.rs"]
mod runner;
#[path = "keeper/standby.rs"]
mod standby;
#[path = "keeper/upgrade.rs"]
mod upgrade;

use runner::World;

/// Name, the runner's side, the daemon's side.
type Scenario = (&'static str, fn(&mut World), fn(&mut daemon::Daemon));

const SCENARIOS: [Scenario; 32] = [
    ("exit_is_told_and_kept", runner::ends_with::<0>, daemon::exit_is_told_and_kept),
    ("a_settled_process_is_reaped_unheard", runner::ends_with::<0>, daemon::settled_early),
    ("a_storm_is_told_completely", runner::ends_with::<0>, daemon::storm),
    ("a_deaf_daemon_loses_nothing", runner::deaf, daemon::deaf),
    ("merged_signals_are_made_up_for", runner::ends_with::<0>, daemon::merged),
    ("strangers_are_reaped", runner::ends_with::<0>, daemon::strangers),
    ("a_crash_costs_no_process", runner::crash, daemon::crash),
    ("a_daemon_that_cannot_start_is_given_up", runner::given_up, daemon::given_up),
    ("signals_are_passed_on", runner::signals, daemon::signals),
    ("stop_is_remembered_while_no_daemon_lives", runner::remembered, daemon::remembered),
    ("a_daemon_may_ask_for_a_fresh_one", runner::again, daemon::again),
    ("what_is_held_survives_deaths", runner::ends_with::<0>, holding::deaths),
    ("thousands_reach_a_slow_reader", runner::deaf, holding::many),
    ("what_is_not_wanted_is_closed", runner::ends_with::<0>, holding::closed),
    ("no_daemon_can_start_and_the_processes_stay", holding::see_hopeless, holding::hopeless),
    ("a_dying_daemon_is_replaced_at_once", holding::see_early, holding::early),
    ("a_last_word_behind_a_reset_is_the_last", runner::ends_with::<12>, holding::last_word),
    ("a_daemon_becomes_the_keeper", holding::see_heir, holding::heir),
    ("an_upgrade_changes_daemon_and_keeper", upgrade::see_good, upgrade::good),
    ("an_upgrade_is_heard_beside_a_stop", upgrade::see_stopped, upgrade::stopped),
    ("a_keeper_that_cannot_follow_goes_on", upgrade::see_half, upgrade::half),
    ("a_bad_program_is_rolled_back", upgrade::see_bad, upgrade::bad),
    ("what_is_no_program_is_rolled_back", upgrade::see_garbage, upgrade::garbage),
    ("a_hanging_program_is_rolled_back", upgrade::see_hanging, upgrade::hanging),
    ("one_on_standby_becomes_the_daemon", standby::see_good, standby::good),
    ("one_that_dies_on_standby_is_told", standby::see_dying, standby::dying),
    ("one_on_standby_can_be_dismissed", standby::see_dismissed, standby::dismissed),
    ("a_crash_dismisses_the_one_on_standby", standby::see_crash, standby::crash),
    ("a_keeper_answers_before_it_becomes_the_new_program", standby::see_late, standby::late),
    ("the_next_is_started_before_a_killed_daemon_is_gone", standby::see_ahead, standby::ahead),
    ("a_thread_that_ends_alone_means_nothing", runner::ends_with::<12>, standby::alone),
    ("a_launcher_is_released", runner::released, daemon::released),
];

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let code = match (words[0].as_str(), words.get(1)) {
        ("super-keeper", Some(_)) => runner::keeper_role(&words),
        ("superd", Some(name)) => {
            let scenario = SCENARIOS.iter().find(|s| s.0 == name).expect("a scenario");
            daemon::role(scenario.2)
        }
        _ => run_all(&words[1..]),
    };
    std::process::exit(code);
}

fn run_all(words: &[String]) -> i32 {
    if words.iter().any(|w| w == "--list") {
        SCENARIOS.iter().for_each(|s| println!("{}: test", s.0));
        return 0;
    }
    lower_files(words);
    let filter: Vec<&String> = words.iter().filter(|w| !w.starts_with('-')).collect();
    let mut failed = 0;
    for (name, runner, _) in SCENARIOS {
        if !filter.is_empty() && !filter.iter().any(|f| name.contains(f.as_str())) {
            continue;
        }
        let good = std::panic::catch_unwind(|| {
            let mut world = World::new(name);
            runner(&mut world);
        })
        .is_ok();
        println!("test {name} ... {}", if good { "ok" } else { "FAILED" });
        failed += i32::from(!good);
    }
    failed.min(100)
}

/// Starts all this again with a soft limit of open files that is below the hard one, so that the keeper
/// has something to raise.
fn lower_files(words: &[String]) {
    const LOWERED: &str = "TEST_LOWERED";
    if std::env::var_os(LOWERED).is_none() {
        let mut shell = std::process::Command::new("/bin/sh");
        shell.args(["-c", "ulimit -S -n 900 && exec \"$0\" \"$@\""]);
        shell.arg(std::env::current_exe().unwrap()).args(words).env(LOWERED, "yes");
        panic!("{}", std::os::unix::process::CommandExt::exec(&mut shell));
    }
}
