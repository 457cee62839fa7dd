// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.linux.Fd;
import io.jvirtio.queue.QueueLayout;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * What the back-end has been told of memory and vrings ("Memory access", "Ring states"), and how it
 * is told.
 *
 * <p>Thread-safe under a lock of its own, for memory can grow while the control plane works; waits
 * for nobody but the back-end.
 */
final class BackEndView {
  private static final Logger LOG = System.getLogger(BackEndView.class.getName());
  private static final Duration PATIENCE = Duration.ofSeconds(1);

  private final List<FrontEndMemory.Slot> slots = new ArrayList<>();
  private final List<FrontEndVring> vrings = new ArrayList<>();
  private FrontEndSession session;
  private boolean shared;
  private boolean closed;

  /** Another back-end, which has been told nothing; null for none. */
  synchronized void use(FrontEndSession next) {
    session = next;
    shared = false;
    vrings.forEach(vring -> vring.started(false));
  }

  /** Shares all memory with the back-end, unless it has it already. */
  synchronized void share() throws IOException {
    if (shared) {
      return;
    }
    if (slots.size() > session.memorySlots()) {
      throw tooMany();
    }
    if (session.has(ProtocolFeatures.CONFIGURE_MEM_SLOTS)) {
      for (FrontEndMemory.Slot slot : slots) {
        session.channel().addMemReg(slot.region(), slot.file());
      }
    } else {
      sendTable(slots);
    }
    shared = true;
  }

  private IOException tooMany() {
    return new IOException(
        "back-end takes no more than " + session.memorySlots() + " memory regions");
  }

  private void sendTable(List<FrontEndMemory.Slot> table) throws IOException {
    List<FrontEndMessage.Region> regions = table.stream().map(FrontEndMemory.Slot::region).toList();
    List<Fd> files = table.stream().map(FrontEndMemory.Slot::file).toList();
    session.channel().setMemTable(regions, files);
  }

  /** One region more, which the back-end knows when this returns, if it knows the others. */
  synchronized void add(FrontEndMemory.Slot slot) throws IOException {
    if (closed) {
      throw new IOException("the transport is closed");
    }
    if (session != null && shared) {
      if (slots.size() >= session.memorySlots()) {
        throw tooMany();
      }
      if (session.has(ProtocolFeatures.CONFIGURE_MEM_SLOTS)) {
        session.channel().addMemReg(slot.region(), slot.file());
      } else {
        replaceTable(slot);
      }
    }
    slots.add(slot);
  }

  // A new table may make a back-end unmap everything first: no vring runs meanwhile, and each goes
  // on where it was. The driver's side of them does not notice.
  private void replaceTable(FrontEndMemory.Slot added) throws IOException {
    List<FrontEndMemory.Slot> table = new ArrayList<>(slots);
    table.add(added);
    List<FrontEndVring> running = vrings.stream().filter(FrontEndVring::isStarted).toList();
    int[] bases = new int[running.size()];
    long start = System.nanoTime();
    for (int i = 0; i < bases.length; i++) {
      bases[i] = halt(running.get(i));
    }
    for (int i = 0; i < bases.length; i++) {
      letFinish(running.get(i), bases[i], start);
    }
    try {
      sendTable(table);
    } catch (RequestRefusedException e) {
      // Which memory it has now is anybody's guess.
      session.channel().fail(e.getMessage());
      throw e;
    }
    for (int i = 0; i < bases.length; i++) {
      configure(running.get(i), bases[i]);
      run(running.get(i));
    }
  }

  /** Tells of a vring: everything that does not start it yet. */
  synchronized void add(FrontEndVring vring) throws IOException {
    vrings.add(vring);
    configure(vring, start(vring.queue().layout()));
  }

  /** What SET_VRING_BASE says of it: a packed ring has a second index, of the used descriptors. */
  private static int start(QueueLayout layout) {
    return layout.start() == QueueLayout.PACKED_START
        ? layout.start() << 16 | layout.start()
        : layout.start();
  }

  private void configure(FrontEndVring vring, int base) throws IOException {
    FrontEndChannel channel = session.channel();
    QueueLayout layout = vring.queue().layout();
    int index = vring.index();
    channel.setVringNum(index, layout.size());
    channel.setVringBase(index, base);
    channel.setVringAddr(
        index,
        userAddress(layout.descriptorArea()),
        userAddress(layout.deviceArea()),
        userAddress(layout.driverArea()));
    channel.setVringCall(index, vring.call());
    channel.setVringErr(index, vring.error());
  }

  private long userAddress(long guestAddress) {
    for (FrontEndMemory.Slot slot : slots) {
      long offset = guestAddress - slot.region().guestAddress();
      if (offset >= 0 && offset < slot.region().size()) {
        return slot.region().userAddress() + offset;
      }
    }
    throw new IllegalStateException(String.format("no memory region at 0x%x", guestAddress));
  }

  /** Tells of a vring again, which stands still and is empty. */
  synchronized void reconfigure(FrontEndVring vring) throws IOException {
    configure(vring, start(vring.queue().layout()));
  }

  /** Starts a vring. */
  synchronized void start(FrontEndVring vring) throws IOException {
    if (!vring.isStarted()) {
      run(vring);
    }
  }

  private void run(FrontEndVring vring) throws IOException {
    vring.started(true);
    session.channel().setVringKick(vring.index(), vring.kick());
    if (session.hasProtocolFeatures()) {
      session.channel().setVringEnable(vring.index(), true);
    }
  }

  /** Stops a vring: the back-end lets go of its memory. Nothing happens when it is stopped. */
  synchronized void stop(FrontEndVring vring) throws IOException {
    stop(List.of(vring));
  }

  private void stop(List<FrontEndVring> all) throws IOException {
    List<FrontEndVring> running = all.stream().filter(FrontEndVring::isStarted).toList();
    int[] bases = new int[running.size()];
    for (int i = 0; i < bases.length; i++) {
      bases[i] = halt(running.get(i));
      if (session.hasProtocolFeatures()) {
        session.channel().setVringEnable(running.get(i).index(), false);
      }
    }
    long start = System.nanoTime();
    for (int i = 0; i < bases.length; i++) {
      letFinish(running.get(i), bases[i], start);
    }
  }

  /**
   * A ring that has stopped takes no more buffers. Some back-ends (QEMU's) still work on those that
   * they took, and would write to the memory, and even to the ring that comes after this one. But
   * others keep buffers for ever, as for what a network brings, so the patience is limited.
   */
  private static void letFinish(FrontEndVring vring, int base, long start) throws IOException {
    while (!vring.queue().hasUsedUpTo(base)) {
      if (System.nanoTime() - start > PATIENCE.toNanos()) {
        LOG.log(Level.DEBUG, "{0}: the back-end keeps buffers of a stopped ring", vring.queue());
        return;
      }
      try {
        Thread.sleep(1);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new InterruptedIOException("interrupted while a ring stopped");
      }
    }
  }

  private int halt(FrontEndVring vring) throws IOException {
    int base = session.channel().getVringBase(vring.index());
    boolean packed = vring.queue().layout().start() == QueueLayout.PACKED_START;
    if (!packed && (base & ~0xffff) != 0) {
      session.channel().fail(String.format("reply to GET_VRING_BASE is 0x%x", base));
      throw session.channel().failure();
    }
    vring.started(false);
    return base;
  }

  /** Stops all vrings. */
  synchronized void stopAll() throws IOException {
    stop(vrings);
  }

  /** Forgets all vrings, and returns them. */
  synchronized List<FrontEndVring> takeVrings() {
    List<FrontEndVring> all = List.copyOf(vrings);
    vrings.clear();
    return all;
  }

  /** The vrings so far. */
  synchronized List<FrontEndVring> vrings() {
    return List.copyOf(vrings);
  }

  /**
   * Closes the files of all memory. There will be no more.
   *
   * @param unmap whether nobody uses it any more
   */
  synchronized void closeMemory(boolean unmap) {
    closed = true;
    for (FrontEndMemory.Slot slot : slots) {
      slot.file().close();
      if (unmap) {
        slot.mapping().close();
      }
    }
    slots.clear();
  }
}
