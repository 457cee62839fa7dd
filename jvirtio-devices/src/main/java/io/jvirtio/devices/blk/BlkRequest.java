// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

import static io.jvirtio.spec.VirtioBlk.SECTOR_SIZE;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_S_IOERR;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_S_OK;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_S_UNSUPP;
import static io.jvirtio.spec.VirtioBlk.WRITE_ZEROES_FLAG_UNMAP;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.ChainReader;
import io.jvirtio.queue.ChainWriter;
import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.spec.VirtioBlk;

/**
 * One request of the driver (virtio 1.4, Block Device / Device Operation), from taking its buffer
 * out of the queue to putting it back. The object stays with its chain object and is used again.
 * Owner thread only.
 *
 * <pre>
 *   IDLE --start--> DEVICE --queued--> CHANNEL --completed--> DEVICE --pushed--> IDLE
 * </pre>
 */
final class BlkRequest extends BlockRequest {
  private enum State {
    IDLE,
    DEVICE,
    CHANNEL
  }

  private static final int HEADER = VirtioBlk.REQ_HEADER.size();
  private static final int RANGE = VirtioBlk.DISCARD_WRITE_ZEROES.size();
  private static final int STATUS = 1;

  private final BlkQueue queue;
  private State state = State.IDLE;
  private DescriptorChain buffer;
  private BlkRequestType type;
  private long sector;
  private long bytes;
  private long startedAt;

  // The ranges of a discard, write zeroes or secure erase; made when first needed.
  private long[] rangeSector;
  private long[] rangeSectors;
  private int[] rangeFlags;
  private int ranges;
  private int nextRange;

  BlkRequest(BlkQueue queue) {
    this.queue = queue;
  }

  /**
   * Reads the header and either answers at once or hands the work to the channel.
   *
   * @throws PeerFault when there is no whole header or no place for the status; the caller then
   *     {@link #giveUp gives up}
   */
  void start(DescriptorChain chain) throws PeerFault {
    state = State.DEVICE;
    buffer = chain;
    if (chain.readableLength() < HEADER || chain.writableLength() < STATUS) {
      throw new PeerFault(FaultReason.REQUEST_MALFORMED, chain.head());
    }
    startedAt = queue.clock();
    ChainReader reader = chain.reader();
    type = BlkRequestType.of(reader.le32());
    reader.skip(4);
    sector = reader.le64();
    bytes = 0;
    switch (type) {
      case IN -> startRead();
      case OUT -> startWrite();
      case FLUSH -> {
        range(0, 0, false, false);
        state = State.CHANNEL;
        queue.channel().flush(this);
      }
      case GET_ID -> answerId();
      case DISCARD, WRITE_ZEROES, SECURE_ERASE -> startRanges(reader);
      case OTHER -> end(VIRTIO_BLK_S_UNSUPP, 0);
    }
  }

  private void startRead() {
    bytes = buffer.writableLength() - STATUS;
    if (!inCapacity(sector, bytes)) {
      end(VIRTIO_BLK_S_IOERR, 0);
    } else if (bytes == 0) {
      end(VIRTIO_BLK_S_OK, 0);
    } else {
      transfer(buffer, 0, true, bytes, sector * SECTOR_SIZE, false);
      state = State.CHANNEL;
      queue.channel().read(this);
    }
  }

  private void startWrite() {
    BlkDevice device = queue.device();
    bytes = buffer.readableLength() - HEADER;
    if (device.readOnly() || !inCapacity(sector, bytes)) {
      end(VIRTIO_BLK_S_IOERR, 0);
    } else if (bytes == 0) {
      end(VIRTIO_BLK_S_OK, 0);
    } else {
      transfer(buffer, HEADER, false, bytes, sector * SECTOR_SIZE, device.writethrough());
      state = State.CHANNEL;
      queue.channel().write(this);
    }
  }

  /** Whether whole sectors inside the capacity; the driver's number may be anything. */
  private boolean inCapacity(long first, long length) {
    long capacity = queue.device().capacitySectors();
    return length % SECTOR_SIZE == 0
        && Long.compareUnsigned(first, capacity) <= 0
        && length / SECTOR_SIZE <= capacity - first;
  }

  private void answerId() throws PeerFault {
    bytes = Math.min(buffer.writableLength() - STATUS, VirtioBlk.VIRTIO_BLK_ID_BYTES);
    buffer.writer().bytes(queue.device().id(), 0, (int) bytes);
    end(VIRTIO_BLK_S_OK, bytes);
  }

  private void startRanges(ChainReader reader) throws PeerFault {
    long length = reader.remaining();
    if (length == 0 || length % RANGE != 0 || length / RANGE > BlkConfig.MAX_RANGES) {
      end(VIRTIO_BLK_S_IOERR, 0);
      return;
    }
    readRanges(reader, (int) (length / RANGE));
    int status = checkRanges();
    if (status != VIRTIO_BLK_S_OK) {
      end(status, 0);
    } else {
      nextRange = 0;
      startNextRange();
    }
  }

  private void readRanges(ChainReader reader, int count) throws PeerFault {
    if (rangeSector == null) {
      rangeSector = new long[BlkConfig.MAX_RANGES];
      rangeSectors = new long[BlkConfig.MAX_RANGES];
      rangeFlags = new int[BlkConfig.MAX_RANGES];
    }
    ranges = count;
    for (int i = 0; i < count; i++) {
      rangeSector[i] = reader.le64();
      rangeSectors[i] = Integer.toUnsignedLong(reader.le32());
      rangeFlags[i] = reader.le32();
      bytes += rangeSectors[i] * SECTOR_SIZE;
    }
  }

  /** All ranges before any effect; flags first, because what they ask for is unknown. */
  private int checkRanges() {
    BlkDevice device = queue.device();
    int knownFlags = type == BlkRequestType.WRITE_ZEROES ? WRITE_ZEROES_FLAG_UNMAP : 0;
    for (int i = 0; i < ranges; i++) {
      if ((rangeFlags[i] & ~knownFlags) != 0) {
        return VIRTIO_BLK_S_UNSUPP;
      }
    }
    if (device.readOnly()) {
      return VIRTIO_BLK_S_IOERR;
    }
    if (!device.hasNegotiated(feature())) {
      return VIRTIO_BLK_S_UNSUPP;
    }
    for (int i = 0; i < ranges; i++) {
      if (rangeSectors[i] > BlkConfig.MAX_RANGE_SECTORS
          || !inCapacity(rangeSector[i], rangeSectors[i] * SECTOR_SIZE)) {
        return VIRTIO_BLK_S_IOERR;
      }
    }
    return VIRTIO_BLK_S_OK;
  }

  private int feature() {
    return switch (type) {
      case DISCARD -> VirtioBlk.VIRTIO_BLK_F_DISCARD;
      case WRITE_ZEROES -> VirtioBlk.VIRTIO_BLK_F_WRITE_ZEROES;
      case SECURE_ERASE -> VirtioBlk.VIRTIO_BLK_F_SECURE_ERASE;
      case IN, OUT, FLUSH, GET_ID, OTHER -> throw new IllegalStateException(type.name());
    };
  }

  private void startNextRange() {
    while (nextRange < ranges && rangeSectors[nextRange] == 0) {
      nextRange++;
    }
    if (nextRange == ranges) {
      end(VIRTIO_BLK_S_OK, 0);
      return;
    }
    int i = nextRange++;
    BlkDevice device = queue.device();
    boolean unmap = rangeFlags[i] == WRITE_ZEROES_FLAG_UNMAP && device.mayUnmap();
    range(
        rangeSector[i] * SECTOR_SIZE,
        rangeSectors[i] * SECTOR_SIZE,
        unmap,
        type != BlkRequestType.DISCARD && device.writethrough());
    state = State.CHANNEL;
    BlockChannel channel = queue.channel();
    switch (type) {
      case DISCARD -> channel.discard(this);
      case WRITE_ZEROES -> channel.writeZeroes(this);
      case SECURE_ERASE -> channel.secureErase(this);
      case IN, OUT, FLUSH, GET_ID, OTHER -> throw new IllegalStateException(type.name());
    }
  }

  @Override
  public void completed(int result) {
    state = State.DEVICE;
    if (result != OK) {
      end(result == UNSUPPORTED ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR, 0);
      return;
    }
    switch (type) {
      case IN -> end(VIRTIO_BLK_S_OK, bytes);
      case DISCARD, WRITE_ZEROES, SECURE_ERASE -> startNextRange();
      case OUT, FLUSH, GET_ID, OTHER -> end(VIRTIO_BLK_S_OK, 0);
    }
  }

  /**
   * Writes the status and gives the buffer back.
   *
   * @param written bytes in front of the status that are known to be written, from the start of the
   *     device-writable part. Only when there are no others may the used length count the status.
   */
  private void end(int status, long written) {
    long before = buffer.writableLength() - STATUS;
    long length = written;
    try {
      ChainWriter writer = buffer.writer();
      writer.rewind();
      writer.skip(before);
      writer.u8(status);
      if (written == before) {
        length += STATUS;
      }
    } catch (InternalError error) {
      queue.memoryVanished();
    } catch (PeerFault impossible) {
      throw new IllegalStateException(impossible);
    }
    if (state == State.DEVICE) {
      state = State.IDLE;
      queue.push(buffer, length);
      queue.ended(type, bytes, status, startedAt);
    }
  }

  /** Gives the buffer back without an answer, unless the channel has the request or nobody. */
  void giveUp() {
    if (state == State.DEVICE) {
      state = State.IDLE;
      queue.push(buffer, 0);
    }
  }
}
