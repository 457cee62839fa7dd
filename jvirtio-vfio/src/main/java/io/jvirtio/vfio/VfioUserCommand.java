// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

/** The commands of the protocol ("Commands"), with what may come along. */
public enum VfioUserCommand {
  VERSION(1, 0),
  DMA_MAP(2, 1),
  DMA_UNMAP(3, 0),
  DEVICE_GET_INFO(4, 0),
  DEVICE_GET_REGION_INFO(5, 0),
  DEVICE_GET_REGION_IO_FDS(6, 0),
  DEVICE_GET_IRQ_INFO(7, 0),
  DEVICE_SET_IRQS(8, VfioUserCodec.MAX_FDS),
  REGION_READ(9, 0),
  REGION_WRITE(10, 0),
  /** From the server to the client. */
  DMA_READ(11, 0),
  /** From the server to the client. */
  DMA_WRITE(12, 0),
  DEVICE_RESET(13, 0),
  REGION_WRITE_MULTI(15, 0),
  /** Not served: migration. */
  DEVICE_FEATURE(16, 0),
  /** Not served: migration. */
  MIG_DATA_READ(17, 0),
  /** Not served: migration. */
  MIG_DATA_WRITE(18, 0);

  private static final VfioUserCommand[] BY_ID = new VfioUserCommand[19];

  static {
    for (VfioUserCommand command : values()) {
      BY_ID[command.id] = command;
    }
  }

  private final int id;
  private final int maxFds;

  VfioUserCommand(int id, int maxFds) {
    this.id = id;
    this.maxFds = maxFds;
  }

  /** The number in the header. */
  public int id() {
    return id;
  }

  /** The most descriptors that may come along. */
  public int maxFds() {
    return maxFds;
  }

  /** The command with this number; null when there is none. */
  public static VfioUserCommand of(int id) {
    return id >= 0 && id < BY_ID.length ? BY_ID[id] : null;
  }
}
