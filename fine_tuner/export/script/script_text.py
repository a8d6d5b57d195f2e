"""The fixed text of a script that repeats a run; ``script.py`` fills it in."""

from __future__ import annotations

HEADER = '''"""Repeats the run {run_id} without Fine Tuner: {what}.

    python {file} --help

Needs Python 3.11, torch {torch}, torchvision {torchvision},
{others}. Written by Fine Tuner {version}.
Split, order of the pictures, augmentation, first weights of what is new, rates and loss are those of the run, so on a
processor of the same kind, with the same versions, the losses are the same to the last digits.

{caveats}
"""'''
ALWAYS_DIFFERENT = (
    "GPUs, other processors and other versions of torch round in other ways; the losses then drift apart slowly.",
    "What only serves speed is left out: cached pictures and features, compilation, several devices.",
)
MAIN = r'''
def options() -> argparse.Namespace:
    """What may be said on the command line."""
    parser = argparse.ArgumentParser(description=f"Repeats the run {RUN}.")
    parser.add_argument("--data", type=Path, default=ROOT, help="folder that the files in FILES are relative to")
    parser.add_argument("--epochs", type=int, help="end after so many epochs; rates stay those of the whole run")
    parser.add_argument("--device", default=DEVICE, help="cpu, cuda, cuda:1, mps")
    parser.add_argument("--workers", type=int, default=NUM_WORKERS, help="processes that load pictures")
    parser.add_argument("--weights", type=Path, default=Path(f"{RUN}.pt"), help="where the best weights are written")
    parser.add_argument("--log", type=Path, help="file for one JSON line per step and per epoch")
    return parser.parse_args()


def main() -> None:
    """Train; validate after every epoch; keep the best weights."""
    asked = options()
    device, epochs = torch.device(asked.device), EPOCHS
    if asked.log:
        asked.log.write_text("")

    def write(**line: object) -> None:
        if asked.log:
            with asked.log.open("a") as log:
                log.write(json.dumps(line) + "\n")

    model = build_network().to(device)
    if CHANNELS_LAST:
        model.to(memory_format=torch.channels_last)
    freeze(model, STAGES, FIRST_TRAINED)
    groups = parameter_groups(
        model, STAGES, STAGE_RATES, group_names=GROUP_NAMES, weight_decay=WEIGHT_DECAY, decay_all=DECAY_ALL
    )
    optimizer = build_optimizer(groups, device)
    rates = Rates(
        optimizer, build_scheduler, total_steps=EPOCHS * STEPS_PER_EPOCH, steps_per_epoch=STEPS_PER_EPOCH,
        warmup_steps=WARMUP_STEPS, by_epoch=BY_EPOCH, momentum=CYCLES_MOMENTUM,
    )  # fmt: skip
    scaler = torch.amp.GradScaler(device.type, enabled=HALF is torch.float16)
    train_pictures = Pictures(FILES["train"], asked.data, build_transform(train=True), target_of, SEED)
    val_pictures = Pictures(FILES.get("val", []), asked.data, build_transform(train=False), target_of, 0)
    metrics = build_metrics()
    if isinstance(loss_fn, nn.Module):
        loss_fn.to(device)
    changes, best, step, epoch = sorted(CHANGES, key=lambda change: change[0]), None, 0, 0

    def make_changes() -> None:
        nonlocal epochs
        while changes and changes[0][0] <= step:
            _, setting, value = changes.pop(0)
            rates.change(setting, value, STEPS_PER_EPOCH)
            if setting == "train.epochs":
                epochs = int(value)

    while True:
        make_changes()  # also when all is done: the run may have ended early there, or been made longer
        is_over = STOPPED is not None and step >= STOPPED[0]
        if is_over or epoch >= epochs or (asked.epochs is not None and epoch >= asked.epochs):
            break
        if HEAD_EPOCHS is not None and epoch == HEAD_EPOCHS:
            freeze(model, STAGES, list(STAGES))
        set_train_mode(model)
        keys = epoch_keys(order_of(epoch), BATCH_SIZE, view_of(epoch))
        loader = batches(train_pictures, keys, asked.workers)
        for first in range(0, len(keys), ACCUMULATE):
            make_changes()
            if STOPPED is not None and step >= STOPPED[0]:
                break
            micro = [next(loader) for _ in keys[first : first + ACCUMULATE]]
            micro = [mixed(*batch, key) for batch, key in zip(micro, keys[first : first + ACCUMULATE])]
            targets_of_step = [targets.to(device) for _, targets in micro]
            shares = shares_of(loss_fn, targets_of_step)
            step_loss = torch.zeros((), device=device)
            used = {group["name"]: group["lr"] for group in optimizer.param_groups}
            for (images, _), targets, share in zip(micro, targets_of_step, shares):
                images = images.to(device)
                with torch.autocast(device.type, dtype=HALF or torch.bfloat16, enabled=HALF is not None):
                    output = model(images)
                loss = loss_of(output, targets, loss_fn if len(micro) == 1 else partial(part_of, loss_fn, share))
                step_loss += loss.detach()
                scaler.scale(loss).backward()
            if not math.isfinite(step_loss.item()):
                raise SystemExit(f"The loss is {step_loss.item()} at step {step + 1}; the weights were not updated.")
            scaler.unscale_(optimizer)
            if CLIP_NORM is not None:
                parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
                norm = nn.utils.get_total_norm([p.grad for p in parameters])
                nn.utils.clip_grads_with_norm_(parameters, CLIP_NORM, norm)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
            rates.step()
            step += 1
            write(step=step, loss=step_loss.item(), lr=used)
        if STOPPED == (step, False):
            break
        epoch += 1

        found = {}
        if len(val_pictures):
            val_keys = epoch_keys_of_val(len(val_pictures))
            loader = batches(val_pictures, val_keys, asked.workers)
            found = evaluate(model, loader, loss_fn, metrics, device, HALF)
        metric = found.get(BEST_METRIC)
        rates.end_epoch(metric)
        if is_better(metric, found.get("loss", math.nan), best, higher_is_better=HIGHER_IS_BETTER):
            best = metric, math.isfinite(found["loss"])
            torch.save(model.state_dict(), asked.weights)
        write(epoch=epoch, **found)
        words = [f"val {key} {value:.4f}" for key, value in found.items()]
        print(f"epoch {epoch}/{epochs}", f"loss {step_loss.item():.4f}", *words)
    if best is None:  # no value of the metric was finite, or there is nothing to validate on
        torch.save(model.state_dict(), asked.weights)
    print(f"best {BEST_METRIC}: {best and best[0]}; weights: {asked.weights}")


def view_of(epoch: int) -> int:
    """The epoch whose augmentation this one repeats."""
    is_frozen = HEAD_EPOCHS is None or epoch < HEAD_EPOCHS
    return epoch % VIEWS if VIEWS is not None and is_frozen else epoch


def epoch_keys_of_val(count: int) -> list[list[PictureKey]]:
    """Batches of the validation split, in the order of the files."""
    return [[(i, 0) for i in range(at, min(at + BATCH_SIZE, count))] for at in range(0, count, BATCH_SIZE)]
'''
