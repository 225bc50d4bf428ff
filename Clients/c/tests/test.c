/* The C client against the daemon at $IOMMUD_SOCKET. Ends with status 1 at the first thing that is not as it should. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../iommud_methods.h"

#define DEVICE "0000:01:00.0"

static struct iommud client;
static char buffer[128 * 1024];

static void fail(int line, const char *text, int status) {
    char message[1024] = "";
    const struct iommud_error *error = iommud_refused(&client);
    if (error) iommud_copy(error->message, message, sizeof message);
    fprintf(stderr, "test.c:%d: %s is %d: %s %s\n", line, text, status, status < 0 ? strerror(-status) : "", message);
    exit(1);
}

/* What is called is to return this. */
#define EXPECT(expected, call)                                  \
    do {                                                        \
        int status = (int)(call);                               \
        if (status != (expected)) fail(__LINE__, #call, status); \
    } while (0)

#define OK(call) EXPECT(0, call)
#define HOLDS(condition) EXPECT(1, (condition) ? 1 : 0)

struct mapped {
    int descriptor;
    uint32_t memory, ioas, device;
};

/* A memfd, imported, mapped at 0x10000 and reachable by a device. */
static struct mapped map(void) {
    struct iommud_memory_import_reply imported;
    struct iommud_ioas_alloc_reply ioas;
    struct iommud_ioas_map_reply where;
    struct iommud_device_bind_reply bound;
    struct iommud_device_attach_reply attached;
    int memory = memfd_create("test", MFD_CLOEXEC);
    HOLDS(memory >= 0 && ftruncate(memory, 0x10000) == 0);
    OK(iommud_memory_import(&client, memory, &(struct iommud_memory_import_params){.name = "a \"name\"\n"}, &imported));
    HOLDS(imported.size == 0x10000);
    OK(iommud_ioas_alloc(&client, &ioas));
    struct iommud_ioas_map_params params = {
        .ioas = (uint32_t)ioas.ioas, .has_memory = true,
        .memory = (uint32_t)imported.memory, .length = 0x10000,
        .has_iova = true, .iova = 0x10000,
        .access = IOMMUD_IOAS_MAP_ACCESS_READ | IOMMUD_IOAS_MAP_ACCESS_WRITE};
    OK(iommud_ioas_map(&client, &params, &where));
    HOLDS(where.iova == 0x10000);
    OK(iommud_device_bind(&client, &(struct iommud_device_bind_params){.name = DEVICE}, &bound));
    struct iommud_device_attach_params attach = {.device = (uint32_t)bound.device, .pt = (uint32_t)ioas.ioas};
    OK(iommud_device_attach(&client, &attach, &attached));
    return (struct mapped){memory, (uint32_t)imported.memory, (uint32_t)ioas.ioas, (uint32_t)bound.device};
}

static void a_device_writes_into_memory_that_came_by_descriptor(const struct mapped *at) {
    struct iommud_dma_write_reply written;
    struct iommud_dma_read_reply read;
    char bytes[8];
    struct iommud_dma_write_params write = {.device = at->device, .iova = 0x10010, .data = {"\0\xffhello", 7}};
    OK(iommud_dma_write(&client, &write, &written));
    HOLDS(written.written == 7 && pread(at->descriptor, bytes, 7, 0x10) == 7 && memcmp(bytes, "\0\xffhello", 7) == 0);
    for (uint64_t length = 1; length <= 7; length++) {
        struct iommud_dma_read_params params = {.device = at->device, .iova = 0x10010, .length = length};
        OK(iommud_dma_read(&client, &params, &read));
        EXPECT((int)length, iommud_decode(read.data, bytes, sizeof bytes));
        HOLDS(memcmp(bytes, "\0\xffhello", (size_t)length) == 0);
    }
    EXPECT(-EMSGSIZE, iommud_decode(read.data, bytes, 6));
}

static void descriptors_come_back(const struct mapped *at) {
    struct iommud_memory_export_reply reply;
    struct iommud_daemon_info_reply info;
    int exported[2];
    char bytes[4];
    OK(iommud_memory_export(&client, &(struct iommud_memory_export_params){.memory = at->memory}, &reply));
    EXPECT(1, iommud_take_descriptors(&client, exported, 2));
    HOLDS(pwrite(exported[0], "both", 4, 0) == 4 && pread(at->descriptor, bytes, 4, 0) == 4);
    HOLDS(memcmp(bytes, "both", 4) == 0);
    /* One that is not taken is closed: the next has its number. */
    OK(iommud_memory_export(&client, &(struct iommud_memory_export_params){.memory = at->memory}, &reply));
    int number = client.descriptors[0];
    OK(iommud_daemon_info(&client, &info));
    EXPECT(number, dup(exported[0]));
    close(number);
    close(exported[0]);
}

static void a_refusal_says_what_why_and_what_to_do(const struct mapped *at) {
    struct iommud_ioas_map_reply where;
    struct iommud_json value;
    uint64_t ioas;
    struct iommud_ioas_map_params params = {
        .ioas = at->ioas, .has_memory = true, .memory = at->memory, .length = 0x1000,
        .has_iova = true, .iova = 0x10000};
    EXPECT(-EEXIST, iommud_ioas_map(&client, &params, &where));
    const struct iommud_error *error = iommud_refused(&client);
    HOLDS(error && error->code == -EEXIST && iommud_equal(error->reason, "already_mapped"));
    HOLDS(error->hint.length > 0 && error->message.length > error->hint.length);
    HOLDS(iommud_member(error->data, "ioas", &value) && iommud_number(value, &ioas) && ioas == at->ioas);
    EXPECT(-EINVAL, iommud_device_bind(&client, &(struct iommud_device_bind_params){.name = NULL}, NULL));
    HOLDS(iommud_refused(&client)->code == -32602);
}

static void lists_go_out_and_come_back(const struct mapped *at) {
    struct iommud_ioas_map_many_reply many;
    struct iommud_ioas_mappings_reply page;
    struct iommud_ioas_mappings_mapping mapping;
    struct iommud_topology_list_reply topology;
    struct iommud_topology_list_device device;
    struct iommud_text text;
    uint64_t number;
    char name[32];
    int devices = 0, mappings = 0;
    struct iommud_ioas_map_many_mapping wanted[] = {
        {.has_memory = true, .memory = at->memory, .length = 0x1000, .has_iova = true, .iova = 0x100000},
        {.has_memory = true, .memory = at->memory, .has_offset = true, .offset = 0x1000, .length = 0x2000,
         .has_iova = true, .iova = 0x200000, .access = IOMMUD_IOAS_MAP_MANY_MAPPING_ACCESS_READ}};
    OK(iommud_ioas_map_many(&client, &(struct iommud_ioas_map_many_params){at->ioas, wanted, 2}, &many));
    HOLDS(iommud_next_number(&many.iovas, &number) && number == 0x100000);
    HOLDS(iommud_next_number(&many.iovas, &number) && number == 0x200000 && !iommud_next_number(&many.iovas, &number));
    OK(iommud_ioas_mappings(&client, &(struct iommud_ioas_mappings_params){.ioas = at->ioas}, &page));
    while (iommud_ioas_mappings_mapping_next(&page.mappings, &mapping)) mappings++;
    HOLDS(mappings == 3 && mapping.iova == 0x200000 && mapping.offset == 0x1000 && !page.has_next);
    HOLDS(iommud_next_text(&mapping.access, &text) && iommud_equal(text, "read"));
    OK(iommud_topology_list(&client, &topology));
    while (iommud_topology_list_device_next(&topology.devices, &device)) {
        HOLDS(iommud_copy(device.name, name, sizeof name) > 0);
        if (strcmp(name, DEVICE) == 0) HOLDS(device.has_group && device.pasid_bits > 0 && ++devices == 1);
    }
    HOLDS(devices == 1);
    /* Rows of words: the target is wrong, the parameters are not. */
    const uint64_t entries[][2] = {{0x11, 0}, {UINT64_MAX, 1}};
    struct iommud_hwpt_invalidate_params invalidate = {77, "arm_smmuv3", entries, 2};
    EXPECT(-ENOENT, iommud_hwpt_invalidate(&client, &invalidate, NULL));
    HOLDS(iommud_refused(&client)->code == -ENOENT);
}

struct told {
    int count;
    uint64_t sequence, address;
};

static void told(void *context, const struct iommud_event *event) {
    struct told *told = context;
    struct iommud_event_smmu_event body;
    if (!iommud_equal(event->kind, "smmu_event") || !iommud_event_smmu_event_read(event, &body)) return;
    told->count += iommud_equal(body.type, "F_TRANSLATION") && iommud_equal(body.name, DEVICE) && body.has_address;
    told->sequence = event->sequence;
    told->address = body.address;
}

static void events_come_between_replies(const struct mapped *at) {
    struct told seen = {0, 0, 0};
    struct iommud_dma_read_reply read;
    client.on_event = told;
    client.context = &seen;
    struct iommud_events_subscribe_params kinds = {.kinds = IOMMUD_EVENTS_SUBSCRIBE_KIND_SMMU_EVENT};
    OK(iommud_events_subscribe(&client, &kinds));
    EXPECT(-ETIMEDOUT, iommud_wait(&client, 0));
    for (uint64_t iova = 0x900000; iova < 0x903000; iova += 0x1000) {
        struct iommud_dma_read_params params = {.device = at->device, .iova = iova, .length = 1};
        EXPECT(-EFAULT, iommud_dma_read(&client, &params, &read));
    }
    while (seen.count < 3) OK(iommud_wait(&client, 60000));
    HOLDS(seen.sequence == 3 && seen.address == 0x902000);
    OK(iommud_events_unsubscribe(&client));
    client.on_event = NULL;
}

static void what_does_not_fit_leaves_the_connection(const struct mapped *at) {
    struct iommud_memory_read_reply read;
    struct iommud_memory_write_reply written;
    struct iommud_daemon_info_reply info;
    static char large[64 * 1024];
    struct iommud_memory_read_params params = {.memory = at->memory, .length = 0x10000};
    EXPECT(-EMSGSIZE, iommud_memory_read(&client, &params, &read));
    OK(iommud_daemon_info(&client, &info));
    HOLDS(iommud_equal(info.name, "iommud") && info.pid > 0);
    struct iommud_memory_write_params write = {.memory = at->memory, .data = {large, sizeof large}};
    EXPECT(-EMSGSIZE, iommud_memory_write(&client, &write, &written));
    params.length = 0x8000;
    OK(iommud_memory_read(&client, &params, &read));
    EXPECT(0x8000, iommud_decode(read.data, large, sizeof large));
}

static void text_is_what_was_written(void) {
    char text[16];
    const char escaped[] = "\\u00e9\\\"\\n\\ud83d\\ude00/\\u20ac";
    EXPECT(12, iommud_copy((struct iommud_text){escaped, sizeof escaped - 1}, text, sizeof text));
    HOLDS(strcmp(text, "\xc3\xa9\"\n\xf0\x9f\x98\x80/\xe2\x82\xac") == 0);
    EXPECT(-EMSGSIZE, iommud_copy((struct iommud_text){escaped, sizeof escaped - 1}, text, 12));
    EXPECT(-EPROTO, iommud_decode((struct iommud_text){"ab*d", 4}, text, sizeof text));
}

static void json_that_ends_early_is_not_read_beyond_its_end(void) {
    const char whole[] = "{\"a\":[{\"b\":\"\\\"]}\"},-1.5e3],\"c\":\"0x10\"}";
    for (size_t length = 0; length < sizeof whole - 1; length++) {
        /* On the heap, so that the sanitizer sees it. */
        char *cut = malloc(length + 1);
        struct iommud_json value;
        memcpy(cut, whole, length);
        (void)iommud_member((struct iommud_json){cut, length}, "none", &value);
        free(cut);
    }
    struct iommud_json value, inner;
    uint64_t number;
    HOLDS(iommud_member((struct iommud_json){whole, sizeof whole - 1}, "c", &value));
    HOLDS(iommud_number(value, &number) && number == 16);
    HOLDS(iommud_member((struct iommud_json){whole, sizeof whole - 1}, "a", &value));
    HOLDS(!iommud_member(value, "b", &inner));
}

static void a_time_limit_ends_the_connection(void) {
    struct iommud_fault_alloc_reply fault;
    struct iommud_fault_read_reply faults;
    OK(iommud_fault_alloc(&client, &fault));
    client.timeout_ms = 20;
    uint32_t queue = (uint32_t)fault.fault;
    struct iommud_fault_read_params wait = {.fault = queue, .has_timeout_ms = true, .timeout_ms = 60000};
    EXPECT(-ETIMEDOUT, iommud_fault_read(&client, &wait, &faults));
    EXPECT(-ENOTCONN, iommud_fault_read(&client, &wait, &faults));
}

int main(void) {
    text_is_what_was_written();
    json_that_ends_early_is_not_read_beyond_its_end();
    EXPECT(-ENOENT, iommud_open(&client, "/nowhere/iommud.sock", buffer, sizeof buffer));
    OK(iommud_open(&client, NULL, buffer, sizeof buffer));
    struct mapped at = map();
    a_device_writes_into_memory_that_came_by_descriptor(&at);
    descriptors_come_back(&at);
    a_refusal_says_what_why_and_what_to_do(&at);
    lists_go_out_and_come_back(&at);
    events_come_between_replies(&at);
    what_does_not_fit_leaves_the_connection(&at);
    a_time_limit_ends_the_connection();
    iommud_close(&client);
    close(at.descriptor);
    puts("clients: the C client does what it says");
    return 0;
}
