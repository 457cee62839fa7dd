// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import io.jvirtio.devices.blk.BlkDevice;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * Notices when an image has grown, and tells the device: every two seconds, and at once on demand.
 * A file that shrank is taken over on demand only, since a guest that uses the lost end would see
 * errors.
 */
final class SizeWatcher implements AutoCloseable {
  private static final Logger LOG = System.getLogger(SizeWatcher.class.getName());
  private static final int PERIOD_SECONDS = 2;

  private final Path image;
  private final BlkDevice device;
  private final ScheduledExecutorService timer;
  private long seen;

  SizeWatcher(Path image, BlkDevice device) {
    this.image = image;
    this.device = device;
    this.seen = device.capacity();
    timer =
        Executors.newSingleThreadScheduledExecutor(
            task -> {
              Thread thread = new Thread(task, "size-watcher");
              thread.setDaemon(true);
              return thread;
            });
  }

  void start() {
    timer.scheduleWithFixedDelay(this::look, PERIOD_SECONDS, PERIOD_SECONDS, TimeUnit.SECONDS);
  }

  private void look() {
    try {
      // A block device has the size 0 here.
      long size = Files.size(image);
      if (size > seen) {
        refresh();
      }
      seen = size;
    } catch (IOException e) {
      LOG.log(Level.DEBUG, "the image cannot be asked for its size", e);
    }
  }

  /** Takes over the size of the image, larger or smaller. Any thread. */
  void refresh() {
    try {
      long bytes = device.refreshSize();
      LOG.log(Level.INFO, "{0} has {1} bytes now", image, Long.toString(bytes));
    } catch (IOException e) {
      LOG.log(Level.WARNING, "the image cannot be asked for its size: {0}", e.getMessage());
    }
  }

  @Override
  public void close() {
    timer.shutdownNow();
  }
}
