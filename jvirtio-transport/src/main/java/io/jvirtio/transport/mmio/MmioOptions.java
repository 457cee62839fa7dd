// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutorService;

/**
 * What a {@link MmioDevice} is like. Immutable.
 *
 * @param version of the registers: 2, or 1 for the legacy interface
 * @param vendorId the vendor id that drivers see, 32 bits
 * @param ringFeatures the reserved feature bits to offer; without VIRTIO_F_NOTIF_CONFIG_DATA, which
 *     has no register, and for version 1 without what is not among the first 32
 * @param bigEndianGuest whether drivers of the legacy interface are big-endian
 * @param sharedMemory by the id of a shared memory region, its guest physical address, where the
 *     machine has it; regions that are not here are not shown to the driver
 * @param resets where a reset goes on that takes longer than a register write may, and until then
 *     the driver does not see it done, which not every driver looks for; it stays the caller's, and
 *     must run what it is given. null to wait within the write, however long
 */
public record MmioOptions(
    int version,
    int vendorId,
    FeatureBits ringFeatures,
    boolean bigEndianGuest,
    Map<Integer, Long> sharedMemory,
    ExecutorService resets) {
  private static final int VENDOR = 0x1af4;

  /** Checks what can be checked here. */
  public MmioOptions {
    if (version != MmioLayout.LEGACY_VERSION && version != MmioLayout.MODERN_VERSION) {
      throw new IllegalArgumentException("version " + version);
    }
    boolean legacy = version == MmioLayout.LEGACY_VERSION;
    if (!legacy && !ringFeatures.has(ReservedFeatures.VIRTIO_F_VERSION_1)) {
      throw new IllegalArgumentException("only a legacy device does not offer VIRTIO_F_VERSION_1");
    }
    if (bigEndianGuest && !legacy) {
      throw new IllegalArgumentException("only the legacy interface can be big-endian");
    }
    sharedMemory = Map.copyOf(sharedMemory);
    if (legacy && !sharedMemory.isEmpty()) {
      throw new IllegalArgumentException("the legacy interface has no shared memory");
    }
  }

  /** Version 2, with all ring features. */
  public static MmioOptions defaults() {
    return new MmioOptions(
        MmioLayout.MODERN_VERSION, VENDOR, DeviceHost.ringFeatures(), false, Map.of(), null);
  }

  /** Version 1, with the ring features that it can have. */
  public static MmioOptions legacy() {
    return new MmioOptions(
        MmioLayout.LEGACY_VERSION, VENDOR, DeviceHost.ringFeatures(), false, Map.of(), null);
  }

  /** Whether this is the legacy interface. */
  public boolean isLegacy() {
    return version == MmioLayout.LEGACY_VERSION;
  }

  /** These options with another vendor id. */
  public MmioOptions withVendorId(int newVendorId) {
    return new MmioOptions(
        version, newVendorId, ringFeatures, bigEndianGuest, sharedMemory, resets);
  }

  /** These options with only these ring features offered. */
  public MmioOptions withRingFeatures(FeatureBits newRingFeatures) {
    return new MmioOptions(
        version, vendorId, newRingFeatures, bigEndianGuest, sharedMemory, resets);
  }

  /** These options with legacy drivers of this byte order. */
  public MmioOptions withBigEndianGuest(boolean newBigEndianGuest) {
    return new MmioOptions(
        version, vendorId, ringFeatures, newBigEndianGuest, sharedMemory, resets);
  }

  /** These options with one more shared memory region shown, at this guest physical address. */
  public MmioOptions withSharedMemory(int id, long address) {
    Map<Integer, Long> more = new HashMap<>(sharedMemory);
    more.put(id, address);
    return new MmioOptions(version, vendorId, ringFeatures, bigEndianGuest, more, resets);
  }

  /** These options with long resets going on there. */
  public MmioOptions withResets(ExecutorService newResets) {
    return new MmioOptions(
        version, vendorId, ringFeatures, bigEndianGuest, sharedMemory, newResets);
  }

  /** The ring features that registers of this version can carry. */
  FeatureBits carried() {
    FeatureBits shown = ringFeatures.without(ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA);
    return isLegacy() ? shown.and(new FeatureBits(0xffff_ffffL, 0)) : shown;
  }
}
