// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HexFormat;

/**
 * A disk that a PC's firmware can boot. Its first sector prints a text on the first serial port,
 * reads the second sector through the firmware, and prints that sector's text.
 */
final class BootSector {
  private static final int SECTOR = 512;
  private static final int SIGNATURE_OFFSET = 510;

  // Real mode, loaded at 0000:7c00 with the disk's number in DL.
  private static final String[] CODE = {
    "31c0", // 00  xor ax, ax
    "8ed8", // 02  mov ds, ax
    "8ec0", // 04  mov es, ax
    "8ed0", // 06  mov ss, ax
    "bc007c", // 08  mov sp, 7c00h
    "88d3", // 0b  mov bl, dl         the disk's number, as printing needs DX
    "be507c", // 0d  mov si, first
    "e81500", // 10  call print
    "be407c", // 13  mov si, packet
    "b442", // 16  mov ah, 42h        extended read
    "88da", // 18  mov dl, bl
    "cd13", // 1a  int 13h
    "7206", // 1c  jc halt
    "be0080", // 1e  mov si, 8000h
    "e80400", // 21  call print
    "fa", // 24  halt: cli
    "f4", // 25  hlt
    "ebfc", // 26  jmp halt
    "ac", // 28  print: lodsb         prints from SI up to a zero
    "84c0", // 29  test al, al
    "7412", // 2b  jz done
    "88c1", // 2d  mov cl, al
    "bafd03", // 2f  mov dx, 3fdh     line status
    "ec", // 32  busy: in al, dx
    "a820", // 33  test al, 20h       transmitter empty
    "74fb", // 35  jz busy
    "baf803", // 37  mov dx, 3f8h     data
    "88c8", // 3a  mov al, cl
    "ee", // 3c  out dx, al
    "ebe9", // 3d  jmp print
    "c3", // 3f  done: ret
    "1000", // 40  packet: 16 bytes long
    "0100", // 42  one sector
    "00800000", // 44  to 0000:8000
    "0100000000000000", // 48  from sector 1
    // 50  first: the text, ended by a zero
  };

  private BootSector() {}

  /** Writes it over the beginning of an image. */
  static void write(Path image, String first, String second) throws IOException {
    ByteBuffer disk = ByteBuffer.allocate(2 * SECTOR);
    disk.put(HexFormat.of().parseHex(String.join("", CODE)));
    disk.put((first + "\r\n").getBytes(StandardCharsets.US_ASCII));
    disk.put(SIGNATURE_OFFSET, (byte) 0x55).put(SIGNATURE_OFFSET + 1, (byte) 0xaa);
    disk.put(SECTOR, (second + "\r\n").getBytes(StandardCharsets.US_ASCII));
    try (var channel = Files.newByteChannel(image, StandardOpenOption.WRITE)) {
      channel.write(disk.rewind());
    }
  }
}
