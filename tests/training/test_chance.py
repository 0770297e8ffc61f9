"""The warning of a run that learns nothing."""

from conftest import Command, succeed

from mnist_lstm.training.callbacks import chance

LONG = ("--data.batch_size=8", "--trainer.max_epochs=3", "--test_after_fit=false")  # 44 steps per epoch


def test_a_run_that_stays_at_chance_warns_once(fit: Command) -> None:
    _, err = succeed(fit, *LONG, "--model.learning_rate=30", "--trainer.gradient_clip_val=0", "--trainer.max_epochs=4")
    assert err.count("ended at chance level") == 1
    assert "epoch 3 ended" in err, "132 steps"
    assert "--model.learning_rate" in err


def test_a_run_that_learns_does_not_warn(fit: Command) -> None:
    assert chance.MIN_STEPS < 3 * 44
    _, err = succeed(fit, *LONG)
    assert "chance" not in err
