// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LoopMode;
import java.time.Duration;

/**
 * How a server works. Immutable.
 *
 * @param mode how workers wait for the driver
 * @param pollWindow how long an adaptive worker polls before it sleeps
 * @param workers how many threads own queues, at least 1; queue n belongs to worker n modulo
 *     workers
 * @param oneShot whether the server ends when the first client has left
 */
public record VfioUserOptions(LoopMode mode, Duration pollWindow, int workers, boolean oneShot) {
  /** Checks the numbers. */
  public VfioUserOptions {
    if (workers < 1) {
      throw new IllegalArgumentException("workers: " + workers);
    }
  }

  /** Adaptive, a worker for each processor, one client after another. */
  public static VfioUserOptions defaults() {
    return new VfioUserOptions(
        LoopMode.ADAPTIVE,
        EventLoop.DEFAULT_POLL_WINDOW,
        Runtime.getRuntime().availableProcessors(),
        false);
  }

  /** These options in another mode. */
  public VfioUserOptions withMode(LoopMode newMode) {
    return new VfioUserOptions(newMode, pollWindow, workers, oneShot);
  }

  /** These options with so many workers. */
  public VfioUserOptions withWorkers(int newWorkers) {
    return new VfioUserOptions(mode, pollWindow, newWorkers, oneShot);
  }

  /** These options, for one client only or for many. */
  public VfioUserOptions withOneShot(boolean newOneShot) {
    return new VfioUserOptions(mode, pollWindow, workers, newOneShot);
  }
}
