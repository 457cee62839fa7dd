// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.trace;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** Flight recorder event: features were negotiated. */
@Name("io.jvirtio.Negotiation")
@Label("Virtio Negotiation")
@Description("features were negotiated.")
@Category("Virtio")
@StackTrace(false)
final class NegotiationEvent extends Event {
  @Label("Device id")
  int deviceId;

  @Label("Offered")
  String offered;

  @Label("Negotiated")
  String negotiated;
}
