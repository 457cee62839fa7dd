// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import java.util.List;

/**
 * A decoded and checked message of the front-end. What it means for the device is not yet checked.
 */
public sealed interface FrontEndMessage {
  /** Which message it is. */
  VhostUserRequest request();

  /** A message without a payload. */
  record Simple(VhostUserRequest request) implements FrontEndMessage {}

  /** A 64-bit number. */
  record Value(VhostUserRequest request, long value) implements FrontEndMessage {}

  /** A vring state description. {@code num} is a size, an index or a flag. */
  record VringState(VhostUserRequest request, int index, int num) implements FrontEndMessage {}

  /** A vring address description; addresses are the front-end's user addresses. */
  record VringAddress(
      VhostUserRequest request,
      int index,
      int flags,
      long descriptor,
      long used,
      long available,
      long log)
      implements FrontEndMessage {}

  /** A kick, call or error descriptor for a vring, or the word that there is none. */
  record VringFd(VhostUserRequest request, int index, boolean hasFd) implements FrontEndMessage {}

  /** All memory regions, in the order of their descriptors. */
  record MemoryTable(VhostUserRequest request, List<Region> regions) implements FrontEndMessage {}

  /** One memory region. */
  record MemoryRegion(VhostUserRequest request, Region region) implements FrontEndMessage {}

  /**
   * An access to the device configuration space.
   *
   * @param flags 0 for writable fields, 1 for live migration
   * @param bytes what to write; of the accessed size for reads as well
   */
  record Config(VhostUserRequest request, int offset, int flags, byte[] bytes)
      implements FrontEndMessage {}

  /**
   * A memory region description. Positive size; neither address wraps.
   *
   * @param guestAddress guest-physical
   * @param size bytes
   * @param userAddress in the front-end's address space
   * @param mmapOffset where it starts in its file
   */
  record Region(long guestAddress, long size, long userAddress, long mmapOffset) {}
}
