// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.device;

import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicIntegerArray;

/**
 * What an available buffer notification says, in the form that was negotiated (virtio 1.4, Driver
 * Notifications). Thread-safe.
 *
 * <pre>
 *   31          30 .. 16    15 .. 0
 *   next_wrap   next_off    index of the queue, or its notification config data
 *   '-- with VIRTIO_F_NOTIFICATION_DATA, else 0
 * </pre>
 */
final class NotificationDecoder {
  private static final int NONE = -1;

  /** How notifications are to be read. */
  private record Form(boolean withNext, boolean withConfigData) {}

  /** By queue. */
  private final int[] configData;

  /** The same in ascending order, and whose they are. */
  private final int[] sorted;

  private final int[] queueOf;
  private final AtomicIntegerArray next;
  private volatile Form form = new Form(false, false);

  /**
   * For the queues of a device.
   *
   * @throws IllegalArgumentException when the device names queues by what does not tell them apart,
   *     or does not fit
   */
  NotificationDecoder(VirtioDevice device) {
    int count = device.queueCount();
    configData = new int[count];
    for (int i = 0; i < count; i++) {
      configData[i] = device.notificationConfigData(i);
      if (configData[i] < 0 || configData[i] > 0xffff) {
        throw new IllegalArgumentException("notification config data " + configData[i]);
      }
    }
    sorted = configData.clone();
    Arrays.sort(sorted);
    queueOf = new int[count];
    for (int i = 0; i < count; i++) {
      if (i > 0 && sorted[i] == sorted[i - 1]) {
        throw new IllegalArgumentException("two queues with notification config data " + sorted[i]);
      }
      queueOf[Arrays.binarySearch(sorted, configData[i])] = i;
    }
    next = new AtomicIntegerArray(count);
    negotiated(FeatureBits.NONE);
  }

  /** Features are final, or gone. */
  void negotiated(FeatureBits features) {
    form =
        new Form(
            features.has(ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA),
            features.has(ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA));
    for (int i = 0; i < next.length(); i++) {
      next.set(i, NONE);
    }
  }

  int configData(int queue) {
    return configData[queue];
  }

  int next(int queue) {
    return next.get(queue);
  }

  /** The queue that a notification is for, or -1. */
  int accept(int value) {
    Form now = form;
    int id = now.withNext() ? value & 0xffff : value;
    int queue;
    if (now.withConfigData()) {
      int at = Arrays.binarySearch(sorted, id);
      queue = at < 0 ? NONE : queueOf[at];
    } else {
      queue = id >= 0 && id < configData.length ? id : NONE;
    }
    if (queue != NONE && now.withNext()) {
      next.setOpaque(queue, value >>> 16);
    }
    return queue;
  }
}
