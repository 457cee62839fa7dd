// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

/**
 * What a single request may be, as the device and its queues allow (virtio 1.4, Block Device /
 * Device Initialization). Calls of {@link BlkDriver} split what is larger; a {@link BlkIo} must
 * keep to them. Everything in bytes unless said otherwise; 0 where the device cannot do it.
 *
 * @param maxSegments elements of data in one request
 * @param maxSegmentBytes of one element; longer segments are described by several
 * @param maxRequestBytes of data, a multiple of 512
 * @param maxDiscardBytes of all ranges of a discard
 * @param maxDiscardRanges how many
 * @param discardAlignment where a discard is best split
 * @param maxWriteZeroesBytes of all ranges of a write zeroes
 * @param maxWriteZeroesRanges how many
 * @param writeZeroesMayUnmap whether writing zeroes can deallocate
 * @param maxSecureEraseBytes of all ranges of a secure erase
 * @param maxSecureEraseRanges how many
 * @param secureEraseAlignment where a secure erase is best split
 */
public record BlkLimits(
    int maxSegments,
    long maxSegmentBytes,
    long maxRequestBytes,
    long maxDiscardBytes,
    int maxDiscardRanges,
    long discardAlignment,
    long maxWriteZeroesBytes,
    int maxWriteZeroesRanges,
    boolean writeZeroesMayUnmap,
    long maxSecureEraseBytes,
    int maxSecureEraseRanges,
    long secureEraseAlignment) {

  /** The most bytes in all ranges of a request, or 0 when the device cannot do it. */
  long maxRangeBytes(BlkOperation operation) {
    return switch (operation) {
      case DISCARD -> maxDiscardBytes;
      case WRITE_ZEROES -> maxWriteZeroesBytes;
      case SECURE_ERASE -> maxSecureEraseBytes;
      case READ, WRITE, FLUSH, GET_ID, GET_LIFETIME -> 0;
    };
  }

  /** The most ranges in a request, or 0 when the device cannot do it. */
  int maxRanges(BlkOperation operation) {
    return switch (operation) {
      case DISCARD -> maxDiscardRanges;
      case WRITE_ZEROES -> maxWriteZeroesRanges;
      case SECURE_ERASE -> maxSecureEraseRanges;
      case READ, WRITE, FLUSH, GET_ID, GET_LIFETIME -> 0;
    };
  }

  /** At multiples of what the ranges of an operation are best split. */
  long rangeAlignment(BlkOperation operation) {
    return switch (operation) {
      case DISCARD -> discardAlignment;
      case SECURE_ERASE -> secureEraseAlignment;
      case WRITE_ZEROES, READ, WRITE, FLUSH, GET_ID, GET_LIFETIME -> 0;
    };
  }

  /** Whether requests that keep to the other limits keep to these too. */
  boolean covers(BlkLimits other) {
    return maxSegments >= other.maxSegments
        && maxSegmentBytes >= other.maxSegmentBytes
        && maxRequestBytes >= other.maxRequestBytes
        && maxDiscardBytes >= other.maxDiscardBytes
        && maxDiscardRanges >= other.maxDiscardRanges
        && maxWriteZeroesBytes >= other.maxWriteZeroesBytes
        && maxWriteZeroesRanges >= other.maxWriteZeroesRanges
        && maxSecureEraseBytes >= other.maxSecureEraseBytes
        && maxSecureEraseRanges >= other.maxSecureEraseRanges;
  }
}
