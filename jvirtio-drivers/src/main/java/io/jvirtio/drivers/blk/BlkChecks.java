// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import static io.jvirtio.spec.VirtioBlk.SECTOR_SIZE;

import io.jvirtio.driver.DriverDevice;
import io.jvirtio.spec.VirtioBlk;
import java.io.IOException;
import java.lang.foreign.MemorySegment;

/** What a request must be before a queue takes it. Thread-safe. */
final class BlkChecks {
  private final DriverDevice device;
  private final BlkLimits limits;
  private final BouncePool pool;
  private final boolean readOnly;
  private volatile long capacitySectors;

  BlkChecks(DriverDevice device, BlkLimits limits, BouncePool pool, long capacitySectors) {
    this.device = device;
    this.limits = limits;
    this.pool = pool;
    this.readOnly = device.hasFeature(VirtioBlk.VIRTIO_BLK_F_RO);
    this.capacitySectors = capacitySectors;
  }

  /** The capacity in sectors. */
  long capacity() {
    return capacitySectors;
  }

  /** Whether that is another capacity than before. One thread at a time. */
  boolean changeCapacity(long sectors) {
    boolean changed = sectors != capacitySectors;
    capacitySectors = sectors;
    return changed;
  }

  /** Whether every change is refused. */
  boolean isReadOnly() {
    return readOnly;
  }

  /** What a call may ask for that is split afterwards: a read or write. */
  void checkData(BlkOperation operation, long offset, MemorySegment data) throws IOException {
    BlkIo.checkAligned(offset, data.byteSize());
    if (operation.isInput() && data.isReadOnly()) {
      throw new IllegalArgumentException("the target is read-only");
    }
    checkChange(operation);
    checkCapacity(operation, offset / SECTOR_SIZE, data.byteSize() / SECTOR_SIZE);
  }

  /** What a call may ask for that is split afterwards: of a range. */
  void checkRange(BlkOperation operation, long offset, long length) throws IOException {
    BlkIo.checkAligned(offset, length);
    checkOffered(operation);
    checkChange(operation);
    checkCapacity(operation, offset / SECTOR_SIZE, length / SECTOR_SIZE);
  }

  /** Throws {@link UnsupportedOperationException} unless the device offers the operation. */
  void checkOffered(BlkOperation operation) {
    int feature =
        switch (operation) {
          case DISCARD -> VirtioBlk.VIRTIO_BLK_F_DISCARD;
          case WRITE_ZEROES -> VirtioBlk.VIRTIO_BLK_F_WRITE_ZEROES;
          case SECURE_ERASE -> VirtioBlk.VIRTIO_BLK_F_SECURE_ERASE;
          case GET_LIFETIME -> VirtioBlk.VIRTIO_BLK_F_LIFETIME;
          case READ, WRITE, FLUSH, GET_ID -> -1;
        };
    if (feature >= 0 && !device.hasFeature(feature)) {
      throw new UnsupportedOperationException(
          "the device does not offer " + VirtioBlk.featureName(feature));
    }
  }

  private void checkChange(BlkOperation operation) throws IOException {
    if (readOnly && operation.isChange()) {
      throw new IOException(device.name() + " is read-only");
    }
  }

  private void checkCapacity(BlkOperation operation, long sector, long sectors) throws IOException {
    if (isOutside(sector, sectors)) {
      throw outside(operation, sector, sectors);
    }
  }

  private boolean isOutside(long sector, long sectors) {
    long capacity = capacitySectors;
    return sector > capacity || sectors > capacity - sector;
  }

  private IOException outside(BlkOperation operation, long sector, long sectors) {
    return new IOException(
        String.format(
            "%s: %s of %d bytes at %d is outside the capacity of %d bytes",
            device.name(),
            operation,
            sectors * SECTOR_SIZE,
            sector * SECTOR_SIZE,
            capacitySectors * SECTOR_SIZE));
  }

  /** All that a request must be before a queue takes it. */
  void check(BlkIo io) throws IOException {
    BlkOperation operation = io.operation();
    if (!io.isOf(pool)) {
      throw new IllegalArgumentException("a request of another driver");
    }
    if (operation == BlkOperation.READ || operation == BlkOperation.WRITE) {
      BlkIo.checkAligned(io.offset(), io.bytes());
      check(io.bytes() > 0 && io.bytes() <= limits.maxRequestBytes(), io);
      check(io.elements(limits.maxSegmentBytes()) <= limits.maxSegments(), io);
    } else {
      checkOffered(operation);
      if (operation.hasRanges()) {
        check(io.rangeCount() > 0 && io.rangeCount() <= limits.maxRanges(operation), io);
        check(io.bytes() <= limits.maxRangeBytes(operation), io);
      }
    }
    checkChange(operation);
    IOException outside = outsideCapacity(io);
    if (outside != null) {
      throw outside;
    }
  }

  private void check(boolean holds, BlkIo io) {
    if (!holds) {
      throw new IllegalArgumentException(io + " is empty, or more than " + limits);
    }
  }

  /** Why a request would reach beyond the capacity, or null. */
  IOException outsideCapacity(BlkIo io) {
    BlkOperation operation = io.operation();
    if (operation == BlkOperation.READ || operation == BlkOperation.WRITE) {
      long sector = io.offset() / SECTOR_SIZE;
      long sectors = io.bytes() / SECTOR_SIZE;
      return isOutside(sector, sectors) ? outside(operation, sector, sectors) : null;
    }
    for (int i = 0; i < io.rangeCount(); i++) {
      if (isOutside(io.rangeSector(i), io.rangeSectors(i))) {
        return outside(operation, io.rangeSector(i), io.rangeSectors(i));
      }
    }
    return null;
  }
}
