// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.trace;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** Flight recorder event: a peer broke a rule, or a device failed. */
@Name("io.jvirtio.Fault")
@Label("Virtio Fault")
@Description("a peer broke a rule, or a device failed.")
@Category("Virtio")
@StackTrace(false)
final class FaultEvent extends Event {
  @Label("Device id")
  int deviceId;

  @Label("Queue")
  int queue;

  @Label("Reason")
  String reason;

  @Label("Detail")
  long detail;
}
