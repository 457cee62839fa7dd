// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import io.jvirtio.transport.pci.PciOptions;
import io.jvirtio.transport.pci.PciProfile;

/** How a disk gets to a guest: the queues alone are served, or a whole PCI function. */
enum Bus {
  VHOST_USER(null, false),
  MODERN_MSIX(PciProfile.MODERN, true),
  MODERN_INTX(PciProfile.MODERN, false),
  TRANSITIONAL_MSIX(PciProfile.TRANSITIONAL, true),
  TRANSITIONAL_INTX(PciProfile.TRANSITIONAL, false),
  LEGACY_MSIX(PciProfile.LEGACY, true),
  LEGACY_INTX(PciProfile.LEGACY, false);

  private final PciProfile profile;
  private final boolean msix;

  Bus(PciProfile profile, boolean msix) {
    this.profile = profile;
    this.msix = msix;
  }

  /** Whether vfio-user is spoken. */
  boolean isPci() {
    return profile != null;
  }

  /** The interfaces of the function. */
  PciProfile profile() {
    return profile;
  }

  /** Whether the function has MSI-X. */
  boolean msix() {
    return msix;
  }

  /** What the function is like. */
  PciOptions options() {
    PciOptions options = PciOptions.defaults().withProfile(profile);
    return msix ? options : options.withMsixVectors(0);
  }
}
