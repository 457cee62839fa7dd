// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.spec.VirtioBlk;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Requests to a block device (virtio 1.4, Block Device / Device Operation), laid out as Linux does
 * it: header, data, status, one descriptor each. {@link ChainBuilder#splitReadable} and {@link
 * ChainBuilder#splitWritable} lay them out otherwise; header and data of a write are one readable
 * part, data and status of a read one writable part. Stateless.
 */
public final class BlkRequests {
  /**
   * One segment of a discard, write zeroes or secure erase request.
   *
   * @param sector the first, in units of 512 bytes
   * @param sectors how many, 0 to 2^32 - 1
   * @param flags {@link VirtioBlk#WRITE_ZEROES_FLAG_UNMAP}, or any
   */
  public record Segment(long sector, long sectors, int flags) {}

  private BlkRequests() {}

  /** The 16 bytes before the data. */
  public static byte[] header(int type, long sector, ByteOrder order) {
    return ByteBuffer.allocate(VirtioBlk.REQ_HEADER.size())
        .order(order)
        .putInt(type)
        .putInt(0)
        .putLong(sector)
        .array();
  }

  /** The bytes of segments, as they follow the header. */
  public static byte[] segments(ByteOrder order, Segment... segments) {
    ByteBuffer bytes =
        ByteBuffer.allocate(VirtioBlk.DISCARD_WRITE_ZEROES.size() * segments.length).order(order);
    for (Segment segment : segments) {
      bytes.putLong(segment.sector()).putInt((int) segment.sectors()).putInt(segment.flags());
    }
    return bytes.array();
  }

  /** Any request: header, {@code out} if it is not empty, {@code in} bytes if any, status. */
  public static ChainBuilder request(
      ScriptedDriver driver, int type, long sector, byte[] out, int in) {
    ChainBuilder chain = driver.chain().readable(header(type, sector, driver.order()));
    if (out.length > 0) {
      chain.readable(out);
    }
    if (in > 0) {
      chain.writable(in);
    }
    return chain.writable(1);
  }

  /** VIRTIO_BLK_T_IN: reads. */
  public static ChainBuilder in(ScriptedDriver driver, long sector, int bytes) {
    return request(driver, VirtioBlk.VIRTIO_BLK_T_IN, sector, new byte[0], bytes);
  }

  /** VIRTIO_BLK_T_OUT: writes. */
  public static ChainBuilder out(ScriptedDriver driver, long sector, byte[] data) {
    return request(driver, VirtioBlk.VIRTIO_BLK_T_OUT, sector, data, 0);
  }

  /** VIRTIO_BLK_T_FLUSH. */
  public static ChainBuilder flush(ScriptedDriver driver) {
    return request(driver, VirtioBlk.VIRTIO_BLK_T_FLUSH, 0, new byte[0], 0);
  }

  /** VIRTIO_BLK_T_GET_ID. */
  public static ChainBuilder getId(ScriptedDriver driver) {
    return request(
        driver, VirtioBlk.VIRTIO_BLK_T_GET_ID, 0, new byte[0], VirtioBlk.VIRTIO_BLK_ID_BYTES);
  }

  /** VIRTIO_BLK_T_DISCARD. */
  public static ChainBuilder discard(ScriptedDriver driver, Segment... segments) {
    return ranges(driver, VirtioBlk.VIRTIO_BLK_T_DISCARD, segments);
  }

  /** VIRTIO_BLK_T_WRITE_ZEROES. */
  public static ChainBuilder writeZeroes(ScriptedDriver driver, Segment... segments) {
    return ranges(driver, VirtioBlk.VIRTIO_BLK_T_WRITE_ZEROES, segments);
  }

  /** VIRTIO_BLK_T_SECURE_ERASE. */
  public static ChainBuilder secureErase(ScriptedDriver driver, Segment... segments) {
    return ranges(driver, VirtioBlk.VIRTIO_BLK_T_SECURE_ERASE, segments);
  }

  private static ChainBuilder ranges(ScriptedDriver driver, int type, Segment... segments) {
    return request(driver, type, 0, segments(driver.order(), segments), 0);
  }

  /**
   * The status byte of a request: the last of the device-writable part. It is {@link
   * ChainBuilder#UNWRITTEN} when the device has not written it.
   */
  public static int status(TestChain request) {
    byte[] written = request.writtenBytes();
    return written[written.length - 1] & 0xff;
  }

  /** The data of a request that reads: the device-writable part without the status byte. */
  public static byte[] data(TestChain request) {
    return request.writtenBytes(Math.toIntExact(request.writableLength()) - 1);
  }
}
