// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * Memory of a client that is not mapped here, by commands to the client ("VFIO_USER_DMA_READ",
 * "VFIO_USER_DMA_WRITE"). Workers call and wait; the control thread brings the replies.
 *
 * <p>The control thread waits for workers as well, and brings no replies meanwhile. So a worker
 * gives up at once when the control thread does not come back from a command, and tries again
 * later. And the client answers nothing while it waits for the reply to a command of its own: the
 * control thread never waits for a reply here.
 */
final class DmaChannel {
  private static final Logger LOG = System.getLogger(DmaChannel.class.getName());

  /** The control thread waits: to be tried again once it has come back. */
  static final class Busy extends Exception {
    private static final long serialVersionUID = 1L;
    static final Busy INSTANCE = new Busy();

    private Busy() {
      super("the control thread is busy", null, false, false);
    }
  }

  // QEMU 11.1 takes a message for sent when a part of it was, and larger ones come in parts.
  private static final int MAX_CHUNK = 1 << 15;

  private static final long DEADLINE_NANOS = TimeUnit.SECONDS.toNanos(4);
  private static final long BUSY_NANOS = TimeUnit.MILLISECONDS.toNanos(2);

  private static final class Transfer {
    final int code;
    final int length;
    byte[] data;
    boolean done;
    boolean failed;

    /** Nobody waits any more. */
    boolean abandoned;

    Transfer(VfioUserCommand command, int length) {
      this.code = command.id();
      this.length = length;
    }
  }

  private final ClientLink link;
  private final int chunk;
  private final Map<Integer, Transfer> pending = new HashMap<>();
  private volatile boolean busy;
  private volatile long busySince;
  private int nextId;
  private boolean ended;

  /** With the most bytes of data that the client takes in one message. */
  DmaChannel(ClientLink link, long maxTransfer) {
    this.link = link;
    this.chunk = Math.clamp(maxTransfer, 1, MAX_CHUNK);
  }

  /** A command is being handled. Control thread. */
  void enter() {
    busySince = System.nanoTime();
    busy = true;
  }

  /** It has been handled. Control thread. */
  void leave() {
    busy = false;
  }

  private boolean isBusy() {
    return busy && System.nanoTime() - busySince > BUSY_NANOS;
  }

  /**
   * A reply has come. Control thread.
   *
   * @throws ProtocolFault when it answers nothing, or not what was asked
   */
  synchronized void reply(VfioUserCodec.Header header, ByteBuffer payload) throws ProtocolFault {
    Transfer transfer = pending.remove(header.id());
    if (transfer == null || transfer.code != header.code()) {
      throw new ProtocolFault(header + " answers nothing");
    }
    transfer.failed = header.error() != 0;
    if (transfer.failed) {
      LOG.log(Level.WARNING, "{0}: error {1} of the client", header, header.error());
    } else if (transfer.code == VfioUserCommand.DMA_READ.id()) {
      if (payload.remaining() != VfioUserCodec.ACCESS_SIZE + transfer.length) {
        throw new ProtocolFault(header + " has " + payload.remaining() + " bytes");
      }
      if (!transfer.abandoned) {
        transfer.data = new byte[transfer.length];
        payload.get(VfioUserCodec.ACCESS_SIZE, transfer.data);
      }
    }
    transfer.done = true;
    notifyAll();
  }

  /** The client has gone: nothing is waited for any more. */
  synchronized void end() {
    ended = true;
    notifyAll();
  }

  /**
   * Reads memory of the client.
   *
   * @throws PeerFault when the client does not give it
   * @throws Busy when it is to be tried again
   */
  void read(long address, MemorySegment to) throws PeerFault, Busy {
    for (long at = 0; at < to.byteSize(); at += chunk) {
      int length = (int) Math.min(chunk, to.byteSize() - at);
      ByteBuffer none = ByteBuffer.allocate(0);
      byte[] data = transfer(VfioUserCommand.DMA_READ, address + at, length, none).data;
      MemorySegment.copy(MemorySegment.ofArray(data), 0, to, at, length);
    }
  }

  /** Writes memory of the client; throws as {@link #read}. */
  void write(long address, MemorySegment from) throws PeerFault, Busy {
    for (long at = 0; at < from.byteSize(); at += chunk) {
      int length = (int) Math.min(chunk, from.byteSize() - at);
      ByteBuffer data = from.asSlice(at, length).asByteBuffer();
      transfer(VfioUserCommand.DMA_WRITE, address + at, length, data);
    }
  }

  /**
   * Writes a few bytes, which are never sent twice: {@link Busy} says that they were not sent.
   *
   * @return whether they are there; else they will be before anything that is sent after them
   */
  boolean writeOnce(long address, MemorySegment from) throws PeerFault, Busy {
    int length = (int) from.byteSize();
    Transfer transfer = send(VfioUserCommand.DMA_WRITE, address, length, from.asByteBuffer());
    try {
      await(transfer, address);
      return true;
    } catch (Busy sent) {
      return false;
    }
  }

  private Transfer transfer(VfioUserCommand command, long address, int length, ByteBuffer data)
      throws PeerFault, Busy {
    Transfer transfer = send(command, address, length, data);
    await(transfer, address);
    return transfer;
  }

  private Transfer send(VfioUserCommand command, long address, int length, ByteBuffer data)
      throws PeerFault, Busy {
    if (isBusy()) {
      throw Busy.INSTANCE;
    }
    Transfer transfer = new Transfer(command, length);
    int id = start(transfer, address);
    ByteBuffer message =
        VfioUserCodec.command(id, command, VfioUserCodec.ACCESS_SIZE + data.remaining())
            .putLong(address)
            .putLong(length)
            .put(data);
    try {
      link.send(message);
    } catch (IOException e) {
      throw new PeerFault(FaultReason.MEMORY_VANISHED, address);
    }
    return transfer;
  }

  private synchronized int start(Transfer transfer, long address) throws PeerFault {
    if (ended || pending.size() > 0x8000) {
      throw new PeerFault(FaultReason.MEMORY_VANISHED, address);
    }
    do {
      nextId = nextId + 1 & 0xffff;
    } while (pending.containsKey(nextId));
    pending.put(nextId, transfer);
    return nextId;
  }

  private synchronized void await(Transfer transfer, long address) throws PeerFault, Busy {
    long start = System.nanoTime();
    boolean interrupted = false;
    while (!transfer.done && !ended && System.nanoTime() - start < DEADLINE_NANOS) {
      if (isBusy()) {
        transfer.abandoned = true;
        throw Busy.INSTANCE;
      }
      try {
        wait(1);
      } catch (InterruptedException e) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
    if (!transfer.done || transfer.failed) {
      transfer.abandoned = true;
      throw new PeerFault(FaultReason.MEMORY_VANISHED, address);
    }
  }
}
