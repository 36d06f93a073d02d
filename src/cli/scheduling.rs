//! What the system's scheduler is told of a run.

/// Tells it that this is batch work, for this thread and all that it starts from now on: a thread that wakes up waits its
/// turn instead of taking a core from one that works. That is most switches, as each call goes from thread to thread.
/// Any policy but the usual one is somebody's wish (`chrt`, a service's settings), and stays.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn be_batch() {
    use preempt_rt::sched::{Pid, Scheduler, SchedulerParams, get_scheduler, set_scheduler};

    let this = Pid::current_thread();
    if matches!(get_scheduler(this), Ok(Scheduler::SCHED_NORMAL)) {
        // Where it is not allowed, all goes on as it would.
        let _ = set_scheduler(this, Scheduler::SCHED_BATCH, SchedulerParams { priority: 0 });
    }
}

/// Other systems have no such policy, or no way to ask for it.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn be_batch() {}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[cfg(test)]
mod tests {
    use std::thread;

    use preempt_rt::sched::{Pid, Scheduler, SchedulerParams, get_scheduler, set_scheduler};

    use super::*;

    fn now() -> Scheduler {
        get_scheduler(Pid::current_thread()).unwrap()
    }

    #[test]
    fn a_thread_and_those_it_starts_are_batch_unless_something_else_is_asked_for() {
        let told_before = |scheduler| {
            let thread = thread::spawn(move || {
                set_scheduler(Pid::current_thread(), scheduler, SchedulerParams { priority: 0 }).unwrap();
                be_batch();
                (now(), thread::spawn(now).join().unwrap())
            });
            thread.join().unwrap()
        };
        assert_eq!(told_before(Scheduler::SCHED_NORMAL), (Scheduler::SCHED_BATCH, Scheduler::SCHED_BATCH));
        assert_eq!(told_before(Scheduler::SCHED_IDLE), (Scheduler::SCHED_IDLE, Scheduler::SCHED_IDLE));
    }
}
