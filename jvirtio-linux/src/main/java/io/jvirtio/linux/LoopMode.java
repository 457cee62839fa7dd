// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

/** What an {@link EventLoop} does when its sources have nothing to do. */
public enum LoopMode {
  /** Sleeps at once. Idle costs nothing; each burst costs a wake-up. */
  EVENT,

  /** Polls on for a bounded time, which adapts to what it brings, then sleeps. */
  ADAPTIVE,

  /** Never sleeps while it has sources: a whole processor for the shortest latency. */
  POLL
}
