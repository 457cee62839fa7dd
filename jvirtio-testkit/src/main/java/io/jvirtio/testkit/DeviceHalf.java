// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.testkit.ScriptedDevice.Element;
import java.util.List;

/** What of a scripted device depends on the format of its ring. */
abstract sealed class DeviceHalf permits SplitDeviceHalf, PackedDeviceHalf {
  /** A buffer: its id, whether a table describes it, its elements. */
  record Taken(int id, boolean table, List<Element> elements) {}

  abstract int available();

  /** The next available buffer, or null. Checks what the format demands of its driver. */
  abstract Taken take();

  /** Writes one used element that stands for these buffers, the last of which it names. */
  abstract void put(List<Integer> skipped, long id, long length);

  abstract boolean publish();

  abstract boolean enableNotifications();

  abstract void disableNotifications();

  static void check(boolean kept, int id, String what) {
    if (!kept) {
      throw new IllegalStateException("available buffer " + id + " " + what);
    }
  }
}
