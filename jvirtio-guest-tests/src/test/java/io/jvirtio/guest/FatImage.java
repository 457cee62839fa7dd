// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/** A disk with one FAT16 file system, without partitions, whose files are all in its root. */
final class FatImage {
  private static final int SECTOR = 512;
  private static final int CLUSTER = 8 * SECTOR;
  private static final int RESERVED = 1;
  private static final int FAT_SECTORS = 64;
  private static final int ROOT_ENTRIES = 512;
  private static final int ENTRY = 32;
  // As many as one FAT has room for: between 4085 and 65524 it is FAT16.
  private static final int CLUSTERS = FAT_SECTORS * SECTOR / 2 - 2;
  private static final int ROOT = RESERVED + 2 * FAT_SECTORS;
  private static final int DATA = ROOT + ROOT_ENTRIES * ENTRY / SECTOR;
  private static final int END_OF_CHAIN = 0xffff;

  private final ByteBuffer disk =
      ByteBuffer.allocate(DATA * SECTOR + CLUSTERS * CLUSTER).order(ByteOrder.LITTLE_ENDIAN);
  private int nextEntry = ROOT * SECTOR;
  private int nextCluster = 2;

  private FatImage() {
    disk.put(0, new byte[] {(byte) 0xeb, 0x3c, (byte) 0x90});
    disk.put(3, ascii("JVIRTIO "));
    disk.putShort(11, (short) SECTOR).put(13, (byte) (CLUSTER / SECTOR));
    disk.putShort(14, (short) RESERVED).put(16, (byte) 2);
    disk.putShort(17, (short) ROOT_ENTRIES).putShort(19, (short) 0);
    disk.put(21, (byte) 0xf8).putShort(22, (short) FAT_SECTORS);
    disk.putInt(32, disk.capacity() / SECTOR);
    disk.put(36, (byte) 0x80).put(38, (byte) 0x29).putInt(39, 0x1af4);
    disk.put(43, ascii("JVIRTIO    ")).put(54, ascii("FAT16   "));
    disk.put(510, (byte) 0x55).put(511, (byte) 0xaa);
    link(0, 0xfff8);
    link(1, END_OF_CHAIN);
  }

  private static byte[] ascii(String text) {
    return text.getBytes(StandardCharsets.US_ASCII);
  }

  private void link(int cluster, int next) {
    for (int fat = 0; fat < 2; fat++) {
      disk.putShort((RESERVED + fat * FAT_SECTORS) * SECTOR + 2 * cluster, (short) next);
    }
  }

  private void add(String name, byte[] content) {
    int count = (content.length + CLUSTER - 1) / CLUSTER;
    disk.put(nextEntry, ascii(name)).put(nextEntry + 11, (byte) 0x20);
    disk.putShort(nextEntry + 26, (short) nextCluster).putInt(nextEntry + 28, content.length);
    nextEntry += ENTRY;
    disk.put(DATA * SECTOR + (nextCluster - 2) * CLUSTER, content);
    for (int i = 1; i <= count; i++, nextCluster++) {
      link(nextCluster, i == count ? END_OF_CHAIN : nextCluster + 1);
    }
  }

  /**
   * Writes an image.
   *
   * @param files by their names of 11 characters, without the dot and filled with blanks
   */
  static void write(Path image, Map<String, byte[]> files) throws IOException {
    FatImage fat = new FatImage();
    files.forEach(fat::add);
    Files.write(image, fat.disk.array());
  }
}
