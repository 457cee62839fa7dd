// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.trace;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** Flight recorder event: a descriptor chain was taken from the driver. */
@Name("io.jvirtio.Chain")
@Label("Virtio Chain")
@Description("a descriptor chain was taken from the driver.")
@Category("Virtio")
@StackTrace(false)
final class ChainEvent extends Event {
  @Label("Queue")
  int queue;

  @Label("Head")
  int head;

  @Label("Segments")
  int segments;

  @Label("Readable bytes")
  long readable;

  @Label("Writable bytes")
  long writable;
}
