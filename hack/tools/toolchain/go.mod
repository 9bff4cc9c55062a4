module crisp/hack/tools/toolchain

go 1.19
