// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.spec.FeatureBits;
import java.util.Objects;

/**
 * How an {@link InProcessTransport} works. Immutable.
 *
 * @param name where the device is, for people
 * @param vendorId the vendor id that drivers see
 * @param ringFeatures the reserved feature bits to offer; a legacy device never offers
 *     VIRTIO_F_VERSION_1
 * @param legacy whether the transport speaks the legacy interface
 * @param bigEndian whether a legacy session is that of a big-endian driver
 * @param regionBytes the least size of a memory region, in bytes: memory grows by as much
 */
public record InProcessOptions(
    String name,
    int vendorId,
    FeatureBits ringFeatures,
    boolean legacy,
    boolean bigEndian,
    long regionBytes) {
  private static final long DEFAULT_REGION_BYTES = 1 << 20;

  /** Checks what can be checked here. */
  public InProcessOptions {
    Objects.requireNonNull(name);
    Objects.requireNonNull(ringFeatures);
    if (bigEndian && !legacy) {
      throw new IllegalArgumentException("only the legacy interface can be big-endian");
    }
    if (regionBytes < 1) {
      throw new IllegalArgumentException("regions of " + regionBytes + " bytes");
    }
  }

  /** Modern, with all ring features, and regions of 1 MiB. */
  public static InProcessOptions defaults() {
    return new InProcessOptions(
        "in-process", 0, DeviceHost.ringFeatures(), false, false, DEFAULT_REGION_BYTES);
  }

  /** These options with another name. */
  public InProcessOptions withName(String newName) {
    return new InProcessOptions(newName, vendorId, ringFeatures, legacy, bigEndian, regionBytes);
  }

  /** These options with another vendor id. */
  public InProcessOptions withVendorId(int newVendorId) {
    return new InProcessOptions(name, newVendorId, ringFeatures, legacy, bigEndian, regionBytes);
  }

  /** These options with only these ring features offered. */
  public InProcessOptions withRingFeatures(FeatureBits newRingFeatures) {
    return new InProcessOptions(name, vendorId, newRingFeatures, legacy, bigEndian, regionBytes);
  }

  /** These options with the legacy interface, as a driver of this byte order uses it. */
  public InProcessOptions withLegacy(boolean newBigEndian) {
    return new InProcessOptions(name, vendorId, ringFeatures, true, newBigEndian, regionBytes);
  }

  /** These options with regions of at least so many bytes. */
  public InProcessOptions withRegionBytes(long newRegionBytes) {
    return new InProcessOptions(name, vendorId, ringFeatures, legacy, bigEndian, newRegionBytes);
  }
}
