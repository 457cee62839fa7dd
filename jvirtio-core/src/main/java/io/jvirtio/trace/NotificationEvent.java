// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.trace;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** Flight recorder event: a batch of used buffers was published. */
@Name("io.jvirtio.Notification")
@Label("Virtio Notification")
@Description("a batch of used buffers was published.")
@Category("Virtio")
@StackTrace(false)
final class NotificationEvent extends Event {
  @Label("Queue")
  int queue;

  @Label("Buffers")
  int buffers;

  @Label("Notification sent")
  boolean sent;
}
