// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

import io.jvirtio.linux.UnixSocket;
import io.jvirtio.linux.Waker;
import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Objects;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A connection to the qtest socket of a QEMU ({@code -accel qtest -qtest
 * unix:SOCKET,server=on,wait=off}): its I/O ports, its physical memory, its interrupt lines.
 *
 * <p>Requests go one at a time. After the first that got no answer in time, or an answer that makes
 * no sense, nothing that follows could be matched to its request: the session is over, and every
 * request throws. QEMU itself goes on without a client.
 *
 * <p>Thread-safe; interrupting a thread ends no request. The values of registers are little-endian,
 * as on the only machines served here, those of x86.
 */
public final class QtestSession implements AutoCloseable {
  /** The most interrupt lines that QEMU tells of. */
  public static final int LINES = 256;

  /** Hears of interrupt lines, and of the end. On any thread: makes no request, does not wait. */
  @FunctionalInterface
  public interface Listener {
    /**
     * A line has changed.
     *
     * @param line 0 to 255, as the controller numbers its inputs
     * @param raised its level now
     */
    void lineChanged(int line, boolean raised);

    /** Every request throws from now on. Once, or more often. */
    default void ended() {}
  }

  private final Path path;
  private final Duration deadline;
  private final Waker waker;
  private final UnixSocket socket;
  private final Arena arena = Arena.ofShared();
  private final MemorySegment sending = arena.allocate(QtestLines.MAX_REQUEST);
  private final Thread reader;

  /** One request at a time. */
  private final ReentrantLock turn = new ReentrantLock();

  /** Whether the thread of this turn was interrupted. */
  private boolean interrupted;

  /** Who waits for the reply; the reader fills in the reply and wakes it. */
  private volatile Thread waiting;

  private volatile String reply;
  private volatile IOException end;
  private volatile boolean closed;
  private volatile Listener listener = (line, raised) -> {};

  private QtestSession(Path path, Duration deadline, UnixSocket socket, Waker waker) {
    this.path = path;
    this.deadline = deadline;
    this.socket = socket;
    this.waker = waker;
    this.reader =
        Thread.ofPlatform().daemon().name("qtest " + path.getFileName()).unstarted(this::read);
  }

  /**
   * Connects, and asks for the machine's byte order, to see that somebody answers.
   *
   * @param deadline the longest time that connecting, and each request, may take; positive
   * @throws IOException when nobody listens, nobody answers (QEMU serves one client at a time), or
   *     the machine is big-endian
   */
  public static QtestSession connect(Path path, Duration deadline) throws IOException {
    Objects.requireNonNull(path);
    if (deadline.isNegative() || deadline.isZero() || deadline.compareTo(Duration.ofDays(1)) > 0) {
      throw new IllegalArgumentException("deadline of " + deadline);
    }
    Waker waker = new Waker();
    QtestSession session = null;
    boolean done = false;
    try {
      UnixSocket socket = UnixSocket.connect(path, waker, deadline);
      socket.setSendTimeout(deadline);
      session = new QtestSession(path, deadline, socket, waker);
      session.reader.start();
      session.greet();
      done = true;
      return session;
    } finally {
      if (!done) {
        if (session != null) {
          session.close();
        } else {
          waker.close();
        }
      }
    }
  }

  private void greet() throws IOException {
    String order;
    try {
      order = request("endianness");
    } catch (SocketTimeoutException e) {
      throw new IOException(
          "qtest " + path + " does not answer: QEMU serves one client at a time; is there another?",
          e);
    }
    if (!order.equals("little")) {
      throw new IOException("qtest " + path + ": a machine whose byte order is " + order);
    }
  }

  /** Where QEMU listens. */
  public Path path() {
    return path;
  }

  /**
   * Sends one request, of those that QEMU's system/qtest.c describes. What QEMU cannot parse ends
   * QEMU.
   *
   * @param line without its end; printable ASCII, at most 512 characters
   * @return what follows the OK, without spaces around it
   * @throws QtestException when QEMU refuses; the session goes on
   * @throws IOException when the session is over
   */
  public String request(String line) throws IOException {
    byte[] bytes = QtestLines.request(line);
    if (Thread.currentThread() == reader) {
      throw new IllegalStateException("a request on the session's reader");
    }
    turn.lock();
    // Parking would return at once while the flag is set.
    interrupted = Thread.interrupted();
    try {
      checkAlive();
      return QtestLines.reply(line, exchange(line, bytes));
    } catch (QtestException e) {
      throw e;
    } catch (IOException e) {
      throw fail(e);
    } finally {
      boolean restore = interrupted;
      turn.unlock();
      if (restore) {
        Thread.currentThread().interrupt();
      }
    }
  }

  private String exchange(String line, byte[] bytes) throws IOException {
    long until = System.nanoTime() + deadline.toNanos();
    reply = null;
    waiting = Thread.currentThread();
    MemorySegment.copy(bytes, 0, sending, ValueLayout.JAVA_BYTE, 0, bytes.length);
    socket.send(sending, bytes.length);
    String answer = reply;
    while (answer == null) {
      checkAlive();
      long left = until - System.nanoTime();
      if (left <= 0) {
        throw new SocketTimeoutException("no reply to " + line + " within " + deadline);
      }
      LockSupport.parkNanos(this, left);
      interrupted |= Thread.interrupted();
      answer = reply;
    }
    return answer;
  }

  /** The session is over, for this reason, unless there was one before. */
  private IOException fail(IOException cause) {
    synchronized (this) {
      if (end == null) {
        end = cause;
      }
      waker.wake();
    }
    LockSupport.unpark(waiting);
    listener.ended();
    return cause;
  }

  private void checkAlive() throws IOException {
    IOException cause = end;
    if (closed) {
      throw new IOException("the session with qtest " + path + " is closed");
    }
    if (cause != null) {
      throw new IOException("the session with qtest " + path + " is over: " + cause, cause);
    }
  }

  /** Whether requests are still of use. */
  public boolean isAlive() {
    return end == null && !closed;
  }

  /** Reads from an I/O port; width 1, 2 or 4 bytes, port + width at most 65536. */
  public long in(int port, int width) throws IOException {
    checkPort(port, width);
    return number("in" + QtestLines.suffix(width) + " 0x" + Integer.toHexString(port), width);
  }

  /** Writes to an I/O port; width 1, 2 or 4 bytes, port + width at most 65536. */
  public void out(int port, int width, long value) throws IOException {
    checkPort(port, width);
    request(
        "out"
            + QtestLines.suffix(width)
            + " 0x"
            + Integer.toHexString(port)
            + QtestLines.hex(value, width));
  }

  private long number(String request, int width) throws IOException {
    String text = request(request);
    try {
      return QtestLines.number(text, width);
    } catch (IOException e) {
      throw fail(e);
    }
  }

  private static void checkPort(int port, int width) {
    if (width == 8 || port < 0 || port > 0x10000 - width) {
      throw new IllegalArgumentException(width + " bytes at port " + port);
    }
  }

  /** Reads physical memory, of RAM or of a device; width 1, 2, 4 or 8 bytes. */
  public long read(long address, int width) throws IOException {
    return number("read" + QtestLines.suffix(width) + " 0x" + Long.toHexString(address), width);
  }

  /** Writes physical memory, of RAM or of a device; width 1, 2, 4 or 8 bytes. */
  public void write(long address, int width, long value) throws IOException {
    request(
        "write"
            + QtestLines.suffix(width)
            + " 0x"
            + Long.toHexString(address)
            + QtestLines.hex(value, width));
  }

  /**
   * Has QEMU tell of every change of an interrupt controller's inputs from now on; it goes on until
   * QEMU ends. QEMU can do it for one controller only.
   *
   * @param controller its QOM path, such as {@code ioapic}
   * @throws QtestException when there is no such controller, or it is another one already
   */
  public void interceptInterrupts(String controller) throws IOException {
    request("irq_intercept_in " + controller);
  }

  /** Who hears of interrupt lines and of the end, from now on. */
  public void setListener(Listener listener) {
    this.listener = Objects.requireNonNull(listener);
  }

  private void read() {
    QtestLines lines = new QtestLines(this::take);
    try {
      MemorySegment buffer = arena.allocate(QtestLines.MAX_LINE);
      while (true) {
        int count = socket.receiveSome(buffer);
        if (count == 0) {
          throw new EOFException("QEMU has closed the connection");
        }
        byte[] bytes = buffer.asSlice(0, count).toArray(ValueLayout.JAVA_BYTE);
        lines.add(new String(bytes, StandardCharsets.ISO_8859_1));
      }
    } catch (IOException e) {
      fail(e);
    } catch (RuntimeException | Error e) {
      fail(new IOException("qtest " + path, e));
      throw e;
    }
  }

  private void take(String line) throws IOException {
    if (line.startsWith("IRQ ")) {
      int number = QtestLines.line(line);
      listener.lineChanged(number, line.startsWith("IRQ raise "));
      return;
    }
    Thread who = waiting;
    if (who == null) {
      throw new IOException("a line that answers nothing: " + QtestLines.printable(line));
    }
    waiting = null;
    reply = line;
    LockSupport.unpark(who);
  }

  /** Ends the connection; requests under way throw. Idempotent. */
  @Override
  public void close() {
    synchronized (this) {
      if (closed) {
        return;
      }
      closed = true;
    }
    fail(new IOException("closed"));
    boolean interrupted = false;
    while (reader.isAlive()) {
      try {
        reader.join();
      } catch (InterruptedException e) {
        interrupted = true;
      }
    }
    // Whoever still has the turn uses the socket and the memory.
    turn.lock();
    try {
      socket.close();
      arena.close();
      waker.close();
    } finally {
      turn.unlock();
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  @Override
  public String toString() {
    return "qtest " + path + (isAlive() ? "" : " (over)");
  }
}
