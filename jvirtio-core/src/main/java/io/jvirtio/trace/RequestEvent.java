// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.trace;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** Flight recorder event: a device finished a request. */
@Name("io.jvirtio.Request")
@Label("Virtio Request")
@Description("a device finished a request.")
@Category("Virtio")
@StackTrace(false)
final class RequestEvent extends Event {
  @Label("Queue")
  int queue;

  @Label("Type")
  String type;

  @Label("Bytes")
  long bytes;

  @Label("Status")
  int status;

  @Label("Nanoseconds")
  long nanos;
}
