"""Weights of Caffe: `.caffemodel` files, read without Caffe and without a protobuf library."""
