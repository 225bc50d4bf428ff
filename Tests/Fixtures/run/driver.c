/* A driver of the accelerator, as anybody would write one against iommufd and vfio: it knows nothing of iommud.
 * It is linked statically, so that no library could be put before it. Each scenario prints what it sees, and exits with
 * 0 if all was as it should be. */
#define _GNU_SOURCE
#include <clinux_iommufd.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                              \
    do {                                                                                              \
        if (!(condition)) {                                                                           \
            printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, strerror(errno));              \
            exit(1);                                                                                  \
        }                                                                                             \
    } while (0)
#define EXPECT(wanted, call) CHECK((call) == -1 && errno == (wanted))

static int iommu, device;
static uint32_t ioas, device_id, hwpt;
static unsigned char *memory;
#define MEMORY_SIZE (1 << 20)
#define MEMORY_IOVA 0x10000000ull

static int command(int fd, int number, void *argument) { return ioctl(fd, 0x3b00 | number, argument); }

static void open_and_bind(void)
{
    iommu = open("/dev/iommu", O_RDWR | O_CLOEXEC);
    CHECK(iommu >= 0);
    device = open("/dev/vfio/devices/vfio0", O_RDWR | O_CLOEXEC);
    CHECK(device >= 0);
    struct clinux_vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = iommu};
    CHECK(command(device, 0x76, &bind) == 0);
    device_id = bind.out_devid;
}

static void map_and_attach(void)
{
    struct clinux_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
    CHECK(command(iommu, 0x81, &alloc) == 0);
    ioas = alloc.out_ioas_id;
    memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    struct clinux_iommu_ioas_map map = {
        .size = sizeof(map), .flags = 7, .ioas_id = ioas, .user_va = (uintptr_t)memory, .length = MEMORY_SIZE,
        .iova = MEMORY_IOVA};
    CHECK(command(iommu, 0x85, &map) == 0 && map.iova == MEMORY_IOVA);
    struct clinux_vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach), .pt_id = ioas};
    CHECK(command(device, 0x77, &attach) == 0);
    hwpt = attach.pt_id;
    printf("ioas %u, device %u, hwpt %u\n", ioas, device_id, hwpt);
}

/* Registers and descriptors: Documentation/Run.md */
struct descriptor {
    uint8_t operation, flags;
    uint16_t reserved;
    uint32_t pasid;
    uint64_t source, target, length, value;
    uint32_t status, error;
    uint64_t result, spare;
};

static off_t region(uint32_t index)
{
    struct { uint32_t argsz, flags, index, cap_offset; uint64_t size, offset; } info = {.argsz = sizeof(info), .index = index};
    CHECK(command(device, 108, &info) == 0);
    return (off_t)info.offset;
}

static uint32_t read_register(int offset)
{
    uint32_t value;
    CHECK(pread(device, &value, 4, region(0) + offset) == 4);
    return value;
}

static void write_register(int offset, uint32_t value)
{
    CHECK(pwrite(device, &value, 4, region(0) + offset) == 4);
}

static volatile uint32_t *doorbell;
static volatile struct descriptor *ring;
static int interrupt;
#define ENTRIES 16

/* The ring lies at the end of the memory. */
static void start_queue(void)
{
    CHECK(read_register(0) == 0x414d4f49 && read_register(4) == 1);
    uint16_t bus_master = 6;
    CHECK(pwrite(device, &bus_master, 2, region(7) + 4) == 2);
    void *bar = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, device, region(2));
    CHECK(bar != MAP_FAILED);
    doorbell = bar;
    ring = (volatile struct descriptor *)(memory + MEMORY_SIZE - 4096);
    interrupt = eventfd(0, EFD_CLOEXEC);
    struct { uint32_t argsz, flags, index, start, count; int32_t fd; } irqs = {sizeof(irqs), 4 | 32, 2, 0, 1, interrupt};
    CHECK(command(device, 110, &irqs) == 0);
    uint64_t base = MEMORY_IOVA + MEMORY_SIZE - 4096;
    write_register(0x18, (uint32_t)base);
    write_register(0x1c, (uint32_t)(base >> 32));
    write_register(0x20, ENTRIES);
    write_register(0x28, 0);
    write_register(0x0c, 1);
    CHECK(read_register(0x0c) == 1);
}

static uint32_t submitted;

static volatile struct descriptor *submit(struct descriptor what)
{
    volatile struct descriptor *place = &ring[submitted % ENTRIES];
    what.flags = 1;
    memcpy((void *)place, &what, sizeof(what));
    __atomic_store_n(doorbell, ++submitted, __ATOMIC_RELEASE);
    write_register(0x34, 1);
    return place;
}

static void wait_for_interrupt(void)
{
    uint64_t count;
    CHECK(read(interrupt, &count, 8) == 8);
}

static void dma(void)
{
    open_and_bind();
    map_and_attach();
    start_queue();
    strcpy((char *)memory, "what the program wrote");
    volatile struct descriptor *done = submit(
        (struct descriptor){.operation = 1, .source = MEMORY_IOVA, .target = MEMORY_IOVA + 0x2345, .length = 23});
    wait_for_interrupt();
    CHECK(done->status == 1 && done->result == 23);
    CHECK(strcmp((char *)memory + 0x2345, "what the program wrote") == 0);
    done = submit((struct descriptor){.operation = 2, .target = MEMORY_IOVA + 0x10000, .length = 200000, .value = 0x5a});
    wait_for_interrupt();
    CHECK(done->status == 1 && memory[0x10000] == 0x5a && memory[0x10000 + 199999] == 0x5a);
    CHECK(memory[0x10000 + 200000] == 0 && memory[0xffff] == 0);
    /* Nothing is mapped there. */
    done = submit((struct descriptor){.operation = 1, .source = 0x5000, .target = MEMORY_IOVA, .length = 8});
    wait_for_interrupt();
    CHECK(done->status == 2 && done->error == EFAULT && done->result == 0x5000);
    CHECK(doorbell[16] == 3 && read_register(0x30) == 3);
    printf("dma done\n");
}

/* Sizes, tails, flags and ids as the kernel has them. */
static void rules(void)
{
    iommu = open("/dev/iommu", O_RDWR);
    CHECK(iommu >= 0);
    struct clinux_iommu_ioas_alloc alloc = {.size = 8};
    EXPECT(EINVAL, command(iommu, 0x81, &alloc));
    alloc = (struct clinux_iommu_ioas_alloc){.size = sizeof(alloc), .flags = 1};
    EXPECT(EOPNOTSUPP, command(iommu, 0x81, &alloc));
    struct { struct clinux_iommu_ioas_alloc known; uint32_t tail; } longer = {{.size = 16}, 0};
    CHECK(command(iommu, 0x81, &longer) == 0 && longer.known.out_ioas_id == 1);
    longer.tail = 1;
    EXPECT(E2BIG, command(iommu, 0x81, &longer));
    EXPECT(EFAULT, command(iommu, 0x81, (void *)8));
    EXPECT(ENOTTY, command(iommu, 0xf0, &alloc));
    struct clinux_iommu_destroy destroy = {.size = sizeof(destroy), .id = 77};
    EXPECT(ENOENT, command(iommu, 0x80, &destroy));
    destroy.id = 1;
    CHECK(command(iommu, 0x80, &destroy) == 0);
    /* No memory there; and nobody may both map and not read or write. */
    alloc = (struct clinux_iommu_ioas_alloc){.size = sizeof(alloc)};
    CHECK(command(iommu, 0x81, &alloc) == 0);
    struct clinux_iommu_ioas_map map = {
        .size = sizeof(map), .flags = 7, .ioas_id = alloc.out_ioas_id, .user_va = 4096, .length = 4096, .iova = 4096};
    EXPECT(EFAULT, command(iommu, 0x85, &map));
    map.flags = 1;
    EXPECT(EINVAL, command(iommu, 0x85, &map));
    map.flags = 8;
    EXPECT(EOPNOTSUPP, command(iommu, 0x85, &map));
    struct clinux_iommu_iova_range range;
    struct clinux_iommu_ioas_iova_ranges ranges = {
        .size = sizeof(ranges), .ioas_id = alloc.out_ioas_id, .num_iovas = 0, .allowed_iovas = (uintptr_t)&range};
    EXPECT(EMSGSIZE, command(iommu, 0x84, &ranges));
    CHECK(ranges.num_iovas == 1);
    CHECK(command(iommu, 0x84, &ranges) == 0 && range.start == 0 && range.last == UINT64_MAX);
    CHECK(ranges.out_iova_alignment == 1);
    struct clinux_iommu_option option = {.size = sizeof(option), .option_id = 1, .op = 1, .object_id = 1};
    CHECK(command(iommu, 0x87, &option) == 0 && option.val64 == 1);
    /* Another open is another world. */
    int other = open("/dev/iommu", O_RDWR);
    CHECK(other >= 0 && other != iommu);
    struct stat status;
    CHECK(fstat(other, &status) == 0 && S_ISCHR(status.st_mode));
    CHECK(fstat(0, &status) == 0);
    destroy.id = alloc.out_ioas_id;
    EXPECT(ENOENT, command(other, 0x80, &destroy));
    printf("rules done\n");
}

/* What lists and looks at the files finds them. */
static void files(void)
{
    struct stat status;
    CHECK(stat("/dev/iommu", &status) == 0 && S_ISCHR(status.st_mode));
    CHECK(stat("/dev/null", &status) == 0 && open("/dev/null", O_RDWR) >= 0);
    DIR *folder = opendir("/dev/vfio/devices");
    CHECK(folder != NULL);
    int nodes = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) nodes += strncmp(entry->d_name, "vfio", 4) == 0;
    char text[64] = "";
    int file = open("/sys/class/vfio-dev/vfio0/device/vendor", O_RDONLY);
    CHECK(file >= 0 && read(file, text, sizeof(text)) > 0);
    char group[256] = "";
    CHECK(readlink("/sys/class/vfio-dev/vfio0/device/iommu_group", group, 255) > 0);
    /* By a folder's descriptor, and by the present folder. */
    int devices = open("/dev/vfio", O_RDONLY | O_DIRECTORY);
    CHECK(openat(devices, "devices/vfio0", O_RDWR) >= 0);
    CHECK(chdir("/dev/vfio/devices") == 0 && open("../../iommu", O_RDWR) >= 0);
    /* A node that was opened for reading alone works when it is used. */
    int plain = open("/dev/iommu", O_RDONLY);
    struct clinux_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
    CHECK(command(plain, 0x81, &alloc) == 0 && alloc.out_ioas_id == 1);
    printf("%d nodes, vendor %s", nodes, text);
}

/* Descriptors go where they like. */
static void descriptors(void)
{
    open_and_bind();
    int copy = fcntl(iommu, F_DUPFD, 100);
    close(iommu);
    struct clinux_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
    CHECK(command(copy, 0x81, &alloc) == 0);
    pid_t child = fork();
    if (child == 0) {
        alloc = (struct clinux_iommu_ioas_alloc){.size = sizeof(alloc)};
        CHECK(command(copy, 0x81, &alloc) == 0 && alloc.out_ioas_id == 3);
        unsigned char *own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        struct clinux_iommu_ioas_map map = {
            .size = sizeof(map), .flags = 6, .ioas_id = 3, .user_va = (uintptr_t)own, .length = 4096};
        CHECK(command(copy, 0x85, &map) == 0);
        exit(7);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
    /* Closed for good, the device is free for another. */
    close(copy);
    close(device);
    open_and_bind();
    printf("descriptors done\n");
}

/* The device asks for a page, and goes on once it is there. */
static void faults(void)
{
    open_and_bind();
    map_and_attach();
    struct clinux_iommu_fault_alloc queue = {.size = sizeof(queue)};
    CHECK(command(iommu, 0x8e, &queue) == 0 && queue.out_fault_fd >= 0);
    struct clinux_iommu_hwpt_alloc alloc = {
        .size = sizeof(alloc), .flags = 4, .dev_id = device_id, .pt_id = ioas, .fault_id = queue.out_fault_id};
    CHECK(command(iommu, 0x89, &alloc) == 0);
    struct clinux_vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach), .pt_id = alloc.out_hwpt_id};
    CHECK(command(device, 0x77, &attach) == 0 && attach.pt_id == alloc.out_hwpt_id);
    start_queue();
    struct pollfd waiting = {.fd = queue.out_fault_fd, .events = POLLIN};
    CHECK(poll(&waiting, 1, 0) == 0);
    volatile struct descriptor *done =
        submit((struct descriptor){.operation = 2, .target = 0x40000, .length = 100, .value = 0x33});
    CHECK(poll(&waiting, 1, 10000) == 1);
    struct clinux_iommu_hwpt_pgfault fault;
    CHECK(read(queue.out_fault_fd, &fault, sizeof(fault)) == sizeof(fault));
    CHECK((fault.addr & ~0xfffull) == 0x40000 && fault.dev_id == device_id && fault.perm & 2 && done->status == 0);
    struct clinux_iommu_ioas_map map = {
        .size = sizeof(map), .flags = 7, .ioas_id = ioas, .user_va = (uintptr_t)memory, .length = 4096, .iova = 0x40000};
    CHECK(command(iommu, 0x85, &map) == 0);
    struct clinux_iommu_hwpt_page_response response = {.cookie = fault.cookie};
    CHECK(write(queue.out_fault_fd, &response, sizeof(response)) == sizeof(response));
    wait_for_interrupt();
    CHECK(done->status == 1 && memory[0] == 0x33 && memory[99] == 0x33 && memory[100] == 0);
    struct clinux_iommu_destroy destroy = {.size = sizeof(destroy), .id = queue.out_fault_id};
    EXPECT(EBUSY, command(iommu, 0x80, &destroy));
    printf("faults done\n");
}

/* Memfds, copies, dirty pages, and what the IOMMU says of itself. */
static void tables(void)
{
    open_and_bind();
    map_and_attach();
    start_queue();
    struct clinux_iommu_hw_info_arm_smmuv3 smmu;
    struct clinux_iommu_hw_info info = {
        .size = sizeof(info), .dev_id = device_id, .data_len = sizeof(smmu), .data_uptr = (uintptr_t)&smmu};
    CHECK(command(iommu, 0x8a, &info) == 0 && info.out_data_type == 2 && smmu.idr[0] != 0);
    CHECK(info.out_max_pasid_log2 == 10 && info.out_capabilities & 1);
    int file = memfd_create("buffer", MFD_CLOEXEC);
    CHECK(ftruncate(file, 8192) == 0);
    unsigned char *shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    struct clinux_iommu_ioas_map_file map = {
        .size = sizeof(map), .flags = 7, .ioas_id = ioas, .fd = file, .length = 8192, .iova = 0x100000};
    CHECK(command(iommu, 0x8f, &map) == 0);
    struct clinux_iommu_ioas_copy copy = {
        .size = sizeof(copy), .flags = 7, .dst_ioas_id = ioas, .src_ioas_id = ioas, .length = 4096, .dst_iova = 0x200000,
        .src_iova = 0x101000};
    CHECK(command(iommu, 0x83, &copy) == 0);
    struct clinux_iommu_hwpt_alloc alloc = {.size = sizeof(alloc), .flags = 2, .dev_id = device_id, .pt_id = ioas};
    CHECK(command(iommu, 0x89, &alloc) == 0);
    struct clinux_vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach), .pt_id = alloc.out_hwpt_id};
    CHECK(command(device, 0x77, &attach) == 0);
    struct clinux_iommu_hwpt_set_dirty_tracking tracking = {
        .size = sizeof(tracking), .flags = 1, .hwpt_id = alloc.out_hwpt_id};
    CHECK(command(iommu, 0x8b, &tracking) == 0);
    volatile struct descriptor *done =
        submit((struct descriptor){.operation = 2, .target = 0x200000, .length = 4096, .value = 7});
    wait_for_interrupt();
    CHECK(done->status == 1 && shared[4095] == 0 && shared[4096] == 7 && shared[8191] == 7);
    uint64_t bitmap = 0;
    struct clinux_iommu_hwpt_get_dirty_bitmap dirty = {
        .size = sizeof(dirty), .hwpt_id = alloc.out_hwpt_id, .iova = 0x200000, .length = 4096, .page_size = 4096,
        .data = (uintptr_t)&bitmap};
    CHECK(command(iommu, 0x8c, &dirty) == 0 && bitmap == 1);
    bitmap = 0;
    CHECK(command(iommu, 0x8c, &dirty) == 0 && bitmap == 0);
    struct clinux_iommu_ioas_unmap unmap = {.size = sizeof(unmap), .ioas_id = ioas, .iova = 0x200000, .length = 4096};
    CHECK(command(iommu, 0x86, &unmap) == 0 && unmap.length == 4096);
    EXPECT(ENOENT, command(iommu, 0x86, &unmap));
    /* vfio's old calls over the same IOAS. */
    struct { uint32_t size, ioas; uint16_t op, reserved; } compatible = {sizeof(compatible), ioas, 1, 0};
    CHECK(command(iommu, 0x88, &compatible) == 0 && command(iommu, 101, (void *)3) == 1);
    struct { uint32_t argsz, flags; uint64_t vaddr, iova, size; } old = {
        sizeof(old), 3, (uintptr_t)memory, 0x300000, 4096};
    CHECK(command(iommu, 113, &old) == 0);
    EXPECT(ENOTTY, command(device, 117, &(uint64_t){1ull << 32 | 8}));
    printf("tables done\n");
}

int main(int count, char **arguments)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *what = count > 1 ? arguments[1] : "";
    if (strcmp(what, "dma") == 0) dma();
    else if (strcmp(what, "rules") == 0) rules();
    else if (strcmp(what, "files") == 0) files();
    else if (strcmp(what, "descriptors") == 0) descriptors();
    else if (strcmp(what, "exit") == 0) return 42;
    else if (strcmp(what, "faults") == 0) faults();
    else if (strcmp(what, "tables") == 0) tables();
    else if (strcmp(what, "kill") == 0) {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_UNBLOCK, &all, NULL);
        signal(SIGTERM, SIG_DFL);
        raise(SIGTERM);
    }
    else return 2;
    return 0;
}
