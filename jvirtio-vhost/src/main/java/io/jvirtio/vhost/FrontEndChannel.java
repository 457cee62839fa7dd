// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.linux.EventFd;
import io.jvirtio.linux.Fd;
import io.jvirtio.linux.UnixSocket;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/**
 * The messages that a front-end sends: a method for each of them ("Front-end message types").
 *
 * <p>The back-end is not trusted: every reply is checked before it is used. A request that is
 * refused ({@link RequestRefusedException}) leaves the connection as it is. Anything else that goes
 * wrong closes it, and every later call fails with the reason of the first failure.
 *
 * <p>Thread-safe: one request at a time, for at most the reply deadline.
 */
final class FrontEndChannel implements AutoCloseable {
  private final FrontEndConnection connection;

  private FrontEndChannel(FrontEndConnection connection) {
    this.connection = connection;
  }

  /**
   * Connects to a back-end.
   *
   * @param connectTimeout the longest time to wait for a back-end that is busy
   * @param replyDeadline the longest time to wait for a reply, and for a message to be taken
   * @throws IOException when there is no such socket, or nobody listens there
   */
  static FrontEndChannel connect(Path path, Duration connectTimeout, Duration replyDeadline)
      throws IOException {
    return new FrontEndChannel(FrontEndConnection.connect(path, connectTimeout, replyDeadline));
  }

  /**
   * Lets an owner wake up when the back-end goes away while nothing is asked of it; it then calls
   * {@link #lookForEnd}. On the owner.
   *
   * @param failed runs once, on any thread, when the connection fails; must not block
   * @throws IOException when it has failed already
   */
  void watchOn(QueueOwner owner, Runnable failed) throws IOException {
    connection.watchOn(owner, failed);
  }

  /** Finds out whether the back-end has gone. Any thread; never waits. */
  void lookForEnd() {
    connection.lookForEnd();
  }

  /** From now on every request without a reply of its own asks for an acknowledgement. */
  void acknowledgeAll() {
    connection.acknowledgeAll();
  }

  /** Why the connection has failed; null while it works. Any thread, without waiting. */
  IOException failure() {
    return connection.failure();
  }

  /** Closes the connection, for a reason that every later call will tell. */
  void fail(String reason) {
    connection.fail(reason);
  }

  // Features.

  long getFeatures() throws IOException {
    return get(VhostUserRequest.GET_FEATURES);
  }

  void setFeatures(long features) throws IOException {
    set(VhostUserRequest.SET_FEATURES, features);
  }

  long getProtocolFeatures() throws IOException {
    return get(VhostUserRequest.GET_PROTOCOL_FEATURES);
  }

  void setProtocolFeatures(long features) throws IOException {
    set(VhostUserRequest.SET_PROTOCOL_FEATURES, features);
  }

  void setOwner() throws IOException {
    simple(VhostUserRequest.SET_OWNER);
  }

  void resetDevice() throws IOException {
    simple(VhostUserRequest.RESET_DEVICE);
  }

  /** The device status; what else the back-end puts into the number is a fault. */
  int getStatus() throws IOException {
    VhostUserRequest request = VhostUserRequest.GET_STATUS;
    return connection.call(
        request,
        FrontEndCodec.simple(request),
        0,
        payload -> {
          long status = FrontEndCodec.value(payload);
          if ((status & ~0xffL) != 0) {
            throw new ProtocolFault(String.format("reply to GET_STATUS is 0x%x", status));
          }
          return (int) status;
        });
  }

  void setStatus(int status) throws IOException {
    set(VhostUserRequest.SET_STATUS, status);
  }

  /** How many queues the back-end has, unsigned: any number. */
  long getQueueNum() throws IOException {
    return get(VhostUserRequest.GET_QUEUE_NUM);
  }

  // Memory.

  /** How many regions the back-end takes, unsigned: any number. */
  long getMaxMemSlots() throws IOException {
    return get(VhostUserRequest.GET_MAX_MEM_SLOTS);
  }

  /** The descriptors, one for each region, stay the caller's. */
  void setMemTable(List<FrontEndMessage.Region> regions, List<Fd> fds) throws IOException {
    if (regions.size() != fds.size() || regions.size() > VhostUserCodec.MAX_TABLE_REGIONS) {
      throw new IllegalArgumentException(regions.size() + " regions, " + fds.size() + " fds");
    }
    connection.command(
        VhostUserRequest.SET_MEM_TABLE,
        FrontEndCodec.memoryTable(regions),
        fds.stream().mapToInt(Fd::value).toArray());
  }

  /** The descriptor stays the caller's. */
  void addMemReg(FrontEndMessage.Region region, Fd fd) throws IOException {
    VhostUserRequest request = VhostUserRequest.ADD_MEM_REG;
    connection.command(request, FrontEndCodec.memoryRegion(request, region), fd.value());
  }

  void remMemReg(FrontEndMessage.Region region) throws IOException {
    VhostUserRequest request = VhostUserRequest.REM_MEM_REG;
    connection.command(request, FrontEndCodec.memoryRegion(request, region));
  }

  // Vrings.

  void setVringNum(int index, int num) throws IOException {
    vringState(VhostUserRequest.SET_VRING_NUM, index, num);
  }

  void setVringBase(int index, int base) throws IOException {
    vringState(VhostUserRequest.SET_VRING_BASE, index, base);
  }

  void setVringEnable(int index, boolean enabled) throws IOException {
    vringState(VhostUserRequest.SET_VRING_ENABLE, index, enabled ? 1 : 0);
  }

  /** All three are user addresses. */
  void setVringAddr(int index, long descriptor, long used, long available) throws IOException {
    connection.command(
        VhostUserRequest.SET_VRING_ADDR,
        FrontEndCodec.vringAddress(index, descriptor, used, available));
  }

  /** Null for none: the back-end then polls. */
  void setVringKick(int index, EventFd event) throws IOException {
    vringFd(VhostUserRequest.SET_VRING_KICK, index, event);
  }

  /** Null for none: the front-end then polls. */
  void setVringCall(int index, EventFd event) throws IOException {
    vringFd(VhostUserRequest.SET_VRING_CALL, index, event);
  }

  /** Null for none. */
  void setVringErr(int index, EventFd event) throws IOException {
    vringFd(VhostUserRequest.SET_VRING_ERR, index, event);
  }

  /** Stops a vring. Where it would go on: any number. */
  int getVringBase(int index) throws IOException {
    VhostUserRequest request = VhostUserRequest.GET_VRING_BASE;
    return connection.call(
        request,
        FrontEndCodec.vringState(request, index, 0),
        0,
        payload -> FrontEndCodec.vringState(request, payload, index));
  }

  // Configuration space.

  /**
   * Reads a part of the configuration space.
   *
   * @throws RequestRefusedException when the back-end tells of an error
   */
  byte[] getConfig(int offset, int size) throws IOException {
    checkConfigRange(offset, size);
    VhostUserRequest request = VhostUserRequest.GET_CONFIG;
    return connection.call(
        request,
        FrontEndCodec.config(request, offset, 0, new byte[size]),
        size,
        payload -> {
          byte[] bytes = FrontEndCodec.config(payload, offset, size);
          if (bytes == null) {
            throw new RequestRefusedException(
                "back-end refused GET_CONFIG of " + size + " bytes at " + offset);
          }
          return bytes;
        });
  }

  /** Writes fields that a driver can write. */
  void setConfig(int offset, byte[] bytes) throws IOException {
    checkConfigRange(offset, bytes.length);
    VhostUserRequest request = VhostUserRequest.SET_CONFIG;
    connection.command(request, FrontEndCodec.config(request, offset, 0, bytes));
  }

  private static void checkConfigRange(int offset, int size) {
    int max = VhostUserCodec.MAX_CONFIG_SIZE;
    if (offset < 0 || size <= 0 || size > max || offset > max - size) {
      throw new IllegalArgumentException(size + " bytes of configuration at " + offset);
    }
  }

  /** The socket stays the caller's. */
  void setBackendReqFd(UnixSocket end) throws IOException {
    VhostUserRequest request = VhostUserRequest.SET_BACKEND_REQ_FD;
    connection.command(request, FrontEndCodec.simple(request), end.fd().value());
  }

  private long get(VhostUserRequest request) throws IOException {
    return connection.call(request, FrontEndCodec.simple(request), 0, FrontEndCodec::value);
  }

  private void set(VhostUserRequest request, long value) throws IOException {
    connection.command(request, FrontEndCodec.value(request, value));
  }

  private void simple(VhostUserRequest request) throws IOException {
    connection.command(request, FrontEndCodec.simple(request));
  }

  private void vringState(VhostUserRequest request, int index, int num) throws IOException {
    connection.command(request, FrontEndCodec.vringState(request, index, num));
  }

  private void vringFd(VhostUserRequest request, int index, EventFd event) throws IOException {
    boolean none = event == null;
    ByteBuffer message =
        FrontEndCodec.value(request, none ? index | VhostUserCodec.VRING_NOFD : index);
    int[] fds = none ? new int[0] : new int[] {event.fd().value()};
    connection.command(request, message, fds);
  }

  /** Closes the connection and ends what waits for it. Idempotent. */
  @Override
  public void close() {
    connection.close();
  }
}
