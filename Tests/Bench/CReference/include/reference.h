#pragma once
#include <stddef.h>
#include <stdint.h>

/* A plain loop over the stage 1 tables (48-bit input, 4 KiB granule) that start at `root`: sets one bit per writable
 * page that is dirty (DBM set, AP[2] clear), makes it clean again, and returns how many there were.
 * `memory` is where physical address 0 of table memory would lie. */
uint64_t reference_read_dirty(unsigned char *memory, uint64_t root, uint64_t iova, uint64_t pages, uint8_t *bitmap);

/* Copies `bytes` from `source` to `target` in this process through `bounce`, as one process would in another's memory:
 * with process_vm_readv and process_vm_writev. Returns the bytes that arrived. */
long reference_copy(void *source, void *target, void *bounce, size_t bytes);
