//! Tasks whose end the control loop waits for.

use std::future::Future;

use tokio::sync::mpsc;
use tokio::task::JoinError;

use super::Input;

/// Runs a task, and tells the loop of its end however it ends: also when it panics, or something
/// that it drops does. Otherwise whatever waits for it would wait for ever.
pub(super) fn run<T: Send + 'static>(
    line: &mpsc::Sender<Input>,
    task: impl Future<Output = T> + Send + 'static,
    ended: impl FnOnce(Result<T, JoinError>) -> Input + Send + 'static,
) {
    let (line, task) = (line.clone(), tokio::spawn(task));
    tokio::spawn(async move {
        let input = ended(task.await);
        // Without a loop there is nobody who waits.
        let _ = line.send(input).await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    struct PanicsWhenDropped;

    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    #[tokio::test]
    async fn a_task_that_panics_is_told_as_ended() {
        let (line, mut inbox) = mpsc::channel(4);
        let planned = |_| Input::Planned;
        run(
            &line,
            async { panic!("in the task") },
            |ended: Result<(), _>| {
                assert!(ended.is_err());
                Input::Planned
            },
        );
        assert!(matches!(inbox.recv().await, Some(Input::Planned)));
        run(
            &line,
            async {
                let _bomb = PanicsWhenDropped;
                tokio::task::yield_now().await;
            },
            planned,
        );
        assert!(matches!(inbox.recv().await, Some(Input::Planned)));
        run(&line, async {}, planned);
        assert!(matches!(inbox.recv().await, Some(Input::Planned)));
    }
}
