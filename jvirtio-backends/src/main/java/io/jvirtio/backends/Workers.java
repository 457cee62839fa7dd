// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A few threads for system calls that block. They start when there is work and end when there was
 * none for a while. Thread-safe.
 */
final class Workers implements AutoCloseable {
  /** Enough to keep a disk busy; more would only wait for each other. */
  private static final int THREADS = 4;

  private static final long KEEP_SECONDS = 10;

  private final ThreadPoolExecutor pool;

  Workers(String name) {
    AtomicInteger number = new AtomicInteger();
    pool =
        new ThreadPoolExecutor(
            THREADS,
            THREADS,
            KEEP_SECONDS,
            TimeUnit.SECONDS,
            new LinkedBlockingQueue<>(),
            task ->
                Thread.ofPlatform()
                    .daemon()
                    .name(name + '-' + number.getAndIncrement())
                    .unstarted(task));
    pool.allowCoreThreadTimeOut(true);
  }

  void execute(Runnable task) {
    pool.execute(task);
  }

  /** Lets what is under way end, and takes no more. */
  @Override
  public void close() {
    pool.shutdown();
  }
}
