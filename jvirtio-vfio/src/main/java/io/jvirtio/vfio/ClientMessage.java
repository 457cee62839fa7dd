// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import java.nio.ByteBuffer;
import java.util.List;

/** A command of the client, decoded and checked as far as it can be without knowing the device. */
public sealed interface ClientMessage {
  /**
   * VERSION: the first message.
   *
   * @param major must be the server's
   * @param minor the highest that the client knows, 0 to 65535
   * @param capabilities what it can do
   */
  record Version(int major, int minor, Capabilities capabilities) implements ClientMessage {}

  /**
   * DMA_MAP: memory that the device may reach.
   *
   * @param writable whether it may be written as well
   * @param offset in the file that came along, in bytes, 0 or more
   * @param address of the first byte, unsigned
   * @param size bytes, 1 or more; address + size passes 2^64 by nothing
   * @param hasFd whether a file came along
   */
  record DmaMap(boolean writable, long offset, long address, long size, boolean hasFd)
      implements ClientMessage {}

  /**
   * DMA_UNMAP: memory that it may no longer reach.
   *
   * @param all whether everything is meant; address and size are 0 then
   * @param flags as they came, for the reply
   */
  record DmaUnmap(int flags, boolean all, long address, long size) implements ClientMessage {}

  /** DEVICE_GET_INFO. */
  record DeviceInfo() implements ClientMessage {}

  /**
   * DEVICE_GET_REGION_INFO.
   *
   * @param index 0 to 8
   */
  record RegionInfo(int index) implements ClientMessage {}

  /**
   * DEVICE_GET_REGION_IO_FDS.
   *
   * @param index 0 to 8
   */
  record RegionIoFds(int index) implements ClientMessage {}

  /**
   * DEVICE_GET_IRQ_INFO.
   *
   * @param index 0 to 4
   */
  record IrqInfo(int index) implements ClientMessage {}

  /** What SET_IRQS says with its data. */
  enum IrqData {
    /** The action is for all. */
    NONE,
    /** The action is for those whose byte is not 0. */
    BOOL,
    /** Descriptors, or none to take those away that there are. */
    EVENTFD
  }

  /** What SET_IRQS is about. */
  enum IrqAction {
    MASK,
    UNMASK,
    TRIGGER
  }

  /**
   * DEVICE_SET_IRQS.
   *
   * @param index of the interrupt type, 0 to 4
   * @param start the first interrupt of that type, 0 or more
   * @param count how many; 0 for all of the type, with NONE and TRIGGER alone
   * @param chosen with BOOL: for each of {@code count}, whether it is meant; else null
   * @param fds how many descriptors came along: 0 or {@code count} with EVENTFD, else 0
   */
  record SetIrqs(
      IrqData data, IrqAction action, int index, int start, int count, boolean[] chosen, int fds)
      implements ClientMessage {}

  /**
   * REGION_READ.
   *
   * @param offset in bytes, 0 or more
   * @param region 0 to 8
   * @param count bytes, 1 to {@link VfioUserCodec#MAX_TRANSFER}
   */
  record RegionRead(long offset, int region, int count) implements ClientMessage {}

  /**
   * REGION_WRITE, and each of those in a REGION_WRITE_MULTI.
   *
   * @param offset in bytes, 0 or more
   * @param region 0 to 8
   * @param data 1 to {@link VfioUserCodec#MAX_TRANSFER} bytes, little-endian; a view of what was
   *     decoded
   */
  record RegionWrite(long offset, int region, ByteBuffer data) implements ClientMessage {}

  /**
   * REGION_WRITE_MULTI.
   *
   * @param writes in the order in which they are to be done, each of 1 to 8 bytes
   */
  record RegionWriteMulti(List<RegionWrite> writes) implements ClientMessage {}

  /** DEVICE_RESET. */
  record Reset() implements ClientMessage {}
}
