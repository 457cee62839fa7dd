// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.device;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.BooleanSupplier;

/**
 * An owner without a thread: whoever calls is the owner. Deterministic, for tests and emulators.
 *
 * <p>Not thread-safe. {@link #runUntilIdle} and {@link #runUntil} take the place of the loop.
 */
public final class InlineOwner implements QueueOwner {
  private static final int MAX_ROUNDS = 1_000_000;
  private static final long NANOS = 1_000_000_000L;

  private final List<EventSource> sources = new ArrayList<>();
  private boolean running;

  @Override
  public void execute(Runnable task) {
    task.run();
  }

  @Override
  public boolean isOwner() {
    return true;
  }

  @Override
  public void addSource(EventSource source) {
    sources.add(source);
  }

  @Override
  public void removeSource(EventSource source) {
    sources.remove(source);
  }

  /** Does nothing: nobody sleeps here. */
  @Override
  public void watch(int fd) {}

  /** Does nothing: nobody sleeps here. */
  @Override
  public void unwatch(int fd) {}

  /** Does nothing: nobody sleeps here, and whoever runs the owner polls everything. */
  @Override
  public void wakeUp() {}

  /**
   * {@inheritDoc}
   *
   * <p>Never sleeps: returns false at once when a whole round found nothing to do, and all sources
   * are armed, while {@code done} is still false. Only the caller can bring about more.
   */
  @Override
  public boolean runUntil(BooleanSupplier done, Duration deadline) {
    Objects.requireNonNull(deadline);
    if (running) {
      throw new IllegalStateException("runUntil within a round of the same owner");
    }
    long start = System.nanoTime();
    while (!done.getAsBoolean()) {
      boolean busy = round();
      if (!busy || isOver(start, deadline)) {
        return done.getAsBoolean();
      }
    }
    return true;
  }

  // As a duration, since one too long for nanoseconds must not overflow.
  private static boolean isOver(long start, Duration deadline) {
    long elapsed = System.nanoTime() - start;
    long seconds = elapsed / NANOS;
    return seconds > deadline.getSeconds()
        || seconds == deadline.getSeconds() && elapsed % NANOS >= deadline.getNano();
  }

  /**
   * Polls every source until none has work, then arms them all as a sleeping owner would.
   *
   * @throws IllegalStateException when the sources are still busy after a million rounds
   */
  public void runUntilIdle() {
    for (int round = 0; round < MAX_ROUNDS; round++) {
      if (!round()) {
        return;
      }
    }
    throw new IllegalStateException("sources still busy after " + MAX_ROUNDS + " rounds");
  }

  // Returns whether there is more to do.
  private boolean round() {
    boolean nested = running;
    running = true;
    try {
      boolean worked = false;
      for (int i = 0; i < sources.size(); i++) {
        sources.get(i).disarm();
        worked |= sources.get(i).poll();
      }
      return worked || !armAll();
    } finally {
      running = nested;
    }
  }

  private boolean armAll() {
    boolean idle = true;
    for (int i = 0; i < sources.size(); i++) {
      idle &= sources.get(i).arm();
    }
    return idle;
  }
}
