// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.queue;

import io.jvirtio.memory.PeerFault;
import io.jvirtio.raw.RawMemory;

/**
 * Reads the device-readable part of a chain, in the byte order of the session, at any descriptor
 * boundary (virtio 1.4, Virtqueues / Message Framing). Owner thread only.
 */
public final class ChainReader extends ChainCursor {
  ChainReader(DescriptorChain chain) {
    super(chain);
  }

  /** Goes back to the start. */
  public void rewind() {
    place(0, chain.readableCount(), chain.readableLength());
  }

  /** Reads 8 bits, unsigned. */
  public int u8() throws PeerFault {
    need(1);
    int value = RawMemory.getByte(address());
    advance(1);
    return value;
  }

  /** Reads 16 bits, unsigned. */
  public int le16() throws PeerFault {
    int value = (int) assemble(2);
    return chain.bigEndian() ? Short.reverseBytes((short) value) & 0xffff : value;
  }

  /** Reads 32 bits. */
  public int le32() throws PeerFault {
    int value;
    if (contiguous() >= 4) {
      value = RawMemory.getIntUnaligned(address());
      advance(4);
    } else {
      value = (int) assemble(4);
    }
    return chain.bigEndian() ? Integer.reverseBytes(value) : value;
  }

  /** Reads 64 bits. */
  public long le64() throws PeerFault {
    long value;
    if (contiguous() >= 8) {
      value = RawMemory.getLongUnaligned(address());
      advance(8);
    } else {
      value = assemble(8);
    }
    return chain.bigEndian() ? Long.reverseBytes(value) : value;
  }

  /** Reads {@code bytes} bytes, 1 to 8, as a little-endian number, across segments. */
  private long assemble(int bytes) throws PeerFault {
    need(bytes);
    long value = 0;
    for (int i = 0; i < bytes; i++) {
      value |= (long) RawMemory.getByte(address()) << (8 * i);
      advance(1);
    }
    return value;
  }

  /**
   * Reads bytes into an array.
   *
   * @throws PeerFault when fewer than {@code length} are left; nothing is read then
   */
  public void bytes(byte[] target, int offset, int length) throws PeerFault {
    need(length);
    int done = 0;
    while (done < length) {
      int step = Math.min(length - done, contiguous());
      RawMemory.copy(address(), target, offset + done, step);
      done += advance(step);
    }
  }
}
