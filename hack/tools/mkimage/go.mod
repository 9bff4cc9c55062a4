module crisp/hack/tools/mkimage

go 1.26.0
