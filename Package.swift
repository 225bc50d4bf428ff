// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    // The device model and the RPC layer are generic over what is plugged in from other modules;
    // their hot paths have to be specialised across the module boundary.
    // Exclusivity is proven by the debug builds that the tests run; one thread owns the whole object graph, so the
    // checks could find nothing in a release build but would cost a third of a translation.
    .unsafeFlags(["-cross-module-optimization", "-enforce-exclusivity=unchecked"], .when(configuration: .release)),
]

let package = Package(
    name: "iommud",
    products: [
        .executable(name: "iommuctl", targets: ["iommuctl"]),
        .executable(name: "iommud", targets: ["iommud"]),
    ],
    dependencies: [
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    ],
    targets: [
        // MARK: C

        .target(name: "CLinux", cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror"])]),
        .systemLibrary(name: "CSystemd", pkgConfig: "libsystemd", providers: [.apt(["libsystemd-dev"])]),

        // MARK: Leaves

        .target(name: "SMMUv3", swiftSettings: strict),
        .testTarget(name: "SMMUv3Tests", dependencies: ["SMMUv3"], swiftSettings: strict),

        // MARK: Ground floor

        .target(name: "LinuxIO", dependencies: ["CLinux"], swiftSettings: strict),
        .testTarget(name: "LinuxIOTests", dependencies: ["CLinux", "LinuxIO", "TestSupport"], swiftSettings: strict),

        .target(name: "IOMMU", dependencies: ["LinuxIO"], swiftSettings: strict),

        .target(name: "JSONRPC", dependencies: ["CLinux", "LinuxIO"], swiftSettings: strict),
        .testTarget(
            name: "JSONRPCTests",
            dependencies: ["CLinux", "JSONRPC", "LinuxIO", "TestSupport"],
            swiftSettings: strict
        ),

        .target(
            name: "Systemd",
            dependencies: ["CSystemd", "LinuxIO", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict
        ),
        .testTarget(name: "SystemdTests", dependencies: ["LinuxIO", "Systemd"], swiftSettings: strict),

        // MARK: Backends

        // One module still, in the folders of the three that come of it.
        .target(
            name: "EmulatedIOMMU", dependencies: ["CLinux", "IOMMU", "LinuxIO", "SMMUv3"], path: "Sources",
            sources: ["BareSMMU", "EmulatedIOMMU", "IOMMUObjects"], swiftSettings: strict
        ),
        .testTarget(name: "EmulatedIOMMUTests", dependencies: ["EmulatedIOMMU", "LinuxIO"], swiftSettings: strict),

        // MARK: Service

        .target(
            name: "IOMMUService",
            dependencies: [
                "CLinux", "IOMMU", "JSONRPC", "LinuxIO", "Systemd",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "TOMLKit", package: "TOMLKit"),
            ],
            swiftSettings: strict
        ),
        .testTarget(name: "IOMMUServiceTests", dependencies: ["IOMMUService", "LinuxIO"], swiftSettings: strict),

        // MARK: Executables

        .executableTarget(
            name: "iommud",
            dependencies: [
                "EmulatedIOMMU", "IOMMU", "IOMMUService",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict
        ),
        .executableTarget(
            name: "iommuctl",
            dependencies: [
                "CLinux", "JSONRPC", "LinuxIO", "SMMUv3",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "DaemonTests",
            dependencies: ["CLinux", "JSONRPC", "LinuxIO", "iommuctl", "iommud"],
            swiftSettings: strict
        ),

        .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: strict),

        // MARK: Benchmarks

        .target(name: "CBenchReference", path: "Tests/Bench/CReference"),
        .executableTarget(
            name: "iommud-bench",
            dependencies: ["CBenchReference", "CLinux", "EmulatedIOMMU", "IOMMU", "SMMUv3"],
            path: "Tests/Bench/Runner",
            swiftSettings: strict
        ),
    ],
    cLanguageStandard: .gnu11,
    cxxLanguageStandard: .cxx17
)
