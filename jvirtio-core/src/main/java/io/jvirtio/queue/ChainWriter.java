// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.queue;

import io.jvirtio.memory.PeerFault;
import io.jvirtio.raw.RawMemory;

/**
 * Writes the device-writable part of a chain, in the byte order of the session, at any descriptor
 * boundary (virtio 1.4, Virtqueues / Message Framing). Owner thread only.
 */
public final class ChainWriter extends ChainCursor {
  ChainWriter(DescriptorChain chain) {
    super(chain);
  }

  /** Goes back to the start. */
  public void rewind() {
    place(chain.readableCount(), chain.segmentCount(), chain.writableLength());
  }

  /** Writes 8 bits. */
  public void u8(int value) throws PeerFault {
    need(1);
    RawMemory.putByte(address(), value);
    advance(1);
  }

  /** Writes 16 bits. */
  public void le16(int value) throws PeerFault {
    spread(chain.bigEndian() ? Short.reverseBytes((short) value) : value, 2);
  }

  /** Writes 32 bits. */
  public void le32(int value) throws PeerFault {
    spread(chain.bigEndian() ? Integer.reverseBytes(value) : value, 4);
  }

  /** Writes 64 bits. */
  public void le64(long value) throws PeerFault {
    spread(chain.bigEndian() ? Long.reverseBytes(value) : value, 8);
  }

  private void spread(long value, int bytes) throws PeerFault {
    need(bytes);
    for (int i = 0; i < bytes; i++) {
      RawMemory.putByte(address(), (int) (value >>> (8 * i)));
      advance(1);
    }
  }

  /**
   * Writes bytes from an array.
   *
   * @throws PeerFault when fewer than {@code length} are left; nothing is written then
   */
  public void bytes(byte[] source, int offset, int length) throws PeerFault {
    need(length);
    int done = 0;
    while (done < length) {
      int step = Math.min(length - done, contiguous());
      RawMemory.copy(source, offset + done, address(), step);
      done += advance(step);
    }
  }

  /**
   * Copies from a reader until either side has nothing left.
   *
   * @return bytes copied
   */
  public long copyFrom(ChainReader source) {
    long start = position();
    while (remaining() > 0 && source.remaining() > 0) {
      int step = Math.min(contiguous(), source.contiguous());
      RawMemory.copy(source.address(), address(), step);
      source.advance(step);
      advance(step);
    }
    return position() - start;
  }
}
