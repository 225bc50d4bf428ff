#include "reference.h"

#define ADDRESS 0x0000fffffffff000ull
#define DBM (1ull << 51)
#define READ_ONLY (1ull << 7)

uint64_t reference_read_dirty(unsigned char *memory, uint64_t root, uint64_t iova, uint64_t pages, uint8_t *bitmap)
{
    uint64_t found = 0;
    for (uint64_t page = 0; page < pages;) {
        uint64_t address = iova + page * 4096, table = root;
        int level = 0;
        for (; level < 3; level++) {
            uint64_t entry = *(uint64_t *)(memory + table + ((address >> (39 - 9 * level)) & 511) * 8);
            if ((entry & 3) != 3) break;
            table = entry & ADDRESS;
        }
        uint64_t index = (address >> 12) & 511, count = 512 - index;
        if (count > pages - page) count = pages - page;
        if (level == 3) {
            uint64_t *leaf = (uint64_t *)(memory + table) + index;
            for (uint64_t i = 0; i < count; i++) {
                if ((leaf[i] & (DBM | READ_ONLY | 3)) != (DBM | 3)) continue;
                leaf[i] |= READ_ONLY;
                bitmap[(page + i) / 8] |= (uint8_t)(1u << ((page + i) % 8));
                found++;
            }
        }
        page += count;
    }
    return found;
}
