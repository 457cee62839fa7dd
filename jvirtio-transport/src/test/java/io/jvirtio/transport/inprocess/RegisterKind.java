// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.device.QueueOwner;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** The ways in which driver and device can meet at registers. */
interface RegisterKind {
  boolean isLegacy();

  boolean bigEndian();

  /** Makes both sides; {@code inline} when everything is on one thread. */
  RegisterPair plug(EchoDevice device, QueueOwner owner, boolean inline) throws IOException;

  static List<RegisterKind> all() {
    List<RegisterKind> all = new ArrayList<>(PciKind.all());
    all.addAll(MmioKind.all());
    return all;
  }

  static List<RegisterKind> modern() {
    return all().stream().filter(kind -> !kind.isLegacy()).toList();
  }

  static List<RegisterKind> legacy() {
    return all().stream().filter(RegisterKind::isLegacy).toList();
  }
}
