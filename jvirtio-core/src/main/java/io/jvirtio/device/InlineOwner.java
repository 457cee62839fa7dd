// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.device;

import java.util.ArrayList;
import java.util.List;

/**
 * An owner without a thread: whoever calls is the owner. Deterministic, for tests and emulators.
 *
 * <p>Not thread-safe. {@link #runUntilIdle} takes the place of the loop.
 */
public final class InlineOwner implements QueueOwner {
  private static final int MAX_ROUNDS = 1_000_000;

  private final List<EventSource> sources = new ArrayList<>();

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

  /**
   * Polls every source until none has work, then arms them all as a sleeping owner would.
   *
   * @throws IllegalStateException when the sources are still busy after a million rounds
   */
  public void runUntilIdle() {
    for (int round = 0; round < MAX_ROUNDS; round++) {
      boolean worked = false;
      for (int i = 0; i < sources.size(); i++) {
        sources.get(i).disarm();
        worked |= sources.get(i).poll();
      }
      if (!worked && armAll()) {
        return;
      }
    }
    throw new IllegalStateException("sources still busy after " + MAX_ROUNDS + " rounds");
  }

  private boolean armAll() {
    boolean idle = true;
    for (int i = 0; i < sources.size(); i++) {
      idle &= sources.get(i).arm();
    }
    return idle;
  }
}
