// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.linux.Errno;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.Fd;
import io.jvirtio.linux.FdSink;
import io.jvirtio.linux.SocketServer;
import io.jvirtio.linux.UnixSocket;
import io.jvirtio.linux.WokenException;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.transport.pci.PciFunction;
import io.jvirtio.transport.pci.PciOptions;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * Serves one virtio device as a PCI function to vfio-user clients, one after another.
 *
 * <p>The thread that calls {@link #serve} is the control thread; worker threads own the queues. A
 * client that breaks the protocol loses its connection, and the next one is served.
 */
public final class VfioUserServer extends SocketServer {
  private static final Logger LOG = System.getLogger(VfioUserServer.class.getName());

  /** How long a client may take from the first byte of a message to its last. */
  private static final Duration MESSAGE_DEADLINE = Duration.ofSeconds(10);

  private static final int INTERRUPT_PIN = 0x3d;

  private final List<EventLoop> workers = new ArrayList<>();
  private final ExecutorService resets =
      Executors.newSingleThreadExecutor(Thread.ofPlatform().name("virtio-reset").factory());
  private final ClientInterrupts interrupts = new ClientInterrupts();
  private final PciFunction function;
  private final Mirrors mirrors;

  // Written by the control thread alone.
  private volatile long sessions;
  private volatile long commands;
  private volatile long refused;
  private volatile long accesses;
  private volatile long protocolFaults;

  /**
   * Starts the workers.
   *
   * @param device the device; it belongs to this server
   * @param pci what its function is like; whatever it says, the client keeps the MSI-X table
   * @throws IllegalArgumentException when the function cannot be like that
   * @throws IOException when the process has no more room for descriptors
   */
  public VfioUserServer(VirtioDevice device, PciOptions pci, VfioUserOptions options)
      throws IOException {
    super(options.oneShot());
    this.mirrors = new Mirrors(device);
    boolean done = false;
    try {
      int count = Math.min(options.workers(), device.queueCount());
      for (int i = 0; i < count; i++) {
        workers.add(
            EventLoop.start(
                "virtio-worker-" + i,
                options.mode(),
                options.pollWindow(),
                (source, fault) -> LOG.log(Level.ERROR, "worker: unexpected failure", fault)));
      }
      PciOptions served = pci.withExternalMsix(true).withResets(resets);
      function = new PciFunction(mirrors, queue -> workers.get(queue % count), served, interrupts);
      interrupts.describe(function.config().read(INTERRUPT_PIN, 1) != 0, function.msixVectors());
      done = true;
    } finally {
      if (!done) {
        closeThreads();
      }
    }
  }

  /** The function that is served, for its counters. */
  public PciFunction function() {
    return function;
  }

  @Override
  public void serve(UnixSocket connection) {
    connection.setReceiveTimeout(MESSAGE_DEADLINE);
    connection.setSendTimeout(MESSAGE_DEADLINE);
    ClientLink link = new ClientLink(connection);
    VfioUserSession session = new VfioUserSession(function, interrupts, mirrors, link);
    sessions++;
    LOG.log(Level.INFO, "client connected");
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment buffer =
          arena.allocate(VfioUserCodec.HEADER_SIZE + VfioUserCodec.MAX_PAYLOAD, 8);
      while (!isStopping()
          && connection.awaitReadable(-1)
          && step(session, connection, link, buffer)) {
        accesses += session.takeAccesses();
      }
    } catch (WokenException e) {
      LOG.log(Level.DEBUG, "woken");
    } catch (ProtocolFault e) {
      protocolFaults++;
      LOG.log(Level.WARNING, "client sent away: {0}", e.getMessage());
    } catch (IOException e) {
      protocolFaults++;
      LOG.log(Level.WARNING, "connection failed: {0}", e.getMessage());
    } catch (RuntimeException e) {
      LOG.log(Level.ERROR, "session failed", e);
    } finally {
      session.close();
      LOG.log(Level.INFO, "client disconnected");
    }
  }

  /** Receives, handles and answers one message; false at the end of the stream. */
  private boolean step(
      VfioUserSession session, UnixSocket connection, ClientLink link, MemorySegment buffer)
      throws IOException, ProtocolFault {
    List<Fd> fds = new ArrayList<>();
    // One more than any message may have is enough to refuse it.
    FdSink sink =
        fd -> {
          if (fds.size() <= VfioUserCodec.MAX_FDS) {
            fds.add(fd);
          } else {
            fd.close();
          }
        };
    try {
      if (!connection.receive(buffer, VfioUserCodec.HEADER_SIZE, sink)) {
        return false;
      }
      VfioUserCodec.Header header =
          VfioUserCodec.header(buffer.asSlice(0, VfioUserCodec.HEADER_SIZE).asByteBuffer());
      if (header.size() > 0 && !connection.receive(buffer, header.size(), sink)) {
        throw new ProtocolFault(header + " ends in its middle");
      }
      commands += header.reply() ? 0 : 1;
      ByteBuffer reply =
          handle(session, header, buffer.asSlice(0, header.size()).asByteBuffer(), fds);
      if (header.wantsReply()) {
        link.send(reply);
      }
      return true;
    } finally {
      for (Fd fd : fds) {
        fd.close();
      }
    }
  }

  private ByteBuffer handle(
      VfioUserSession session, VfioUserCodec.Header header, ByteBuffer payload, List<Fd> fds)
      throws ProtocolFault {
    try {
      return session.receive(header, payload, fds);
    } catch (CommandRefused e) {
      refused++;
      LOG.log(Level.WARNING, "{0} refused: {1}", header, e.getMessage());
      return VfioUserCodec.refusal(header, e.errno());
    } catch (RuntimeException bug) {
      // A client may end when its server does, and a guest with it: better one access that fails.
      refused++;
      LOG.log(Level.ERROR, header + " failed", bug);
      return VfioUserCodec.refusal(header, Errno.EIO);
    }
  }

  /** What happened so far. Any thread. */
  public VfioUserStats stats() {
    DeviceHost host = function.host();
    long chains = 0;
    long suppressed = 0;
    for (int i = 0; i < host.queueCount(); i++) {
      try {
        chains += host.counters(i).chains();
        suppressed += host.counters(i).notificationsSuppressed();
      } catch (PeerFault e) {
        throw new IllegalStateException("queue " + i + " exists", e);
      }
    }
    return new VfioUserStats(
        sessions,
        mirrors.negotiated(),
        commands,
        refused,
        accesses,
        interrupts.sent(),
        suppressed,
        chains,
        host.faults(),
        protocolFaults);
  }

  /** Stops, and ends the workers. Not before {@link #serve} has returned. */
  @Override
  public void close() {
    stop();
    function.close();
    closeThreads();
  }

  private void closeThreads() {
    for (EventLoop worker : workers) {
      worker.close();
    }
    resets.close();
    super.close();
  }
}
